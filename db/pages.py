"""Pages of long lists: keyset, so that a page costs the same wherever it begins.

The query functions of `billing` return a `Page`; the command line prints it and how to go on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, TypeVar, overload

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from errors import InvalidField

T = TypeVar("T")
U = TypeVar("U")

Key = InstrumentedAttribute[Any] | ColumnElement[Any]

COUNTED = 1_000
"""How many rows after a page are counted: counting all would read a large table to its end."""


@dataclass(frozen=True, slots=True)
class Page(Sequence[T], Generic[T]):
    """The rows of one page, and what follows it.

    `more` counts the rows that follow, up to `COUNTED` + 1, which stands for "and more".
    `after` is the position of the last row, for the next page; None if nothing follows.
    """

    rows: Sequence[T]
    more: int = 0
    after: str | None = None

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[T]:
        return iter(self.rows)

    def map(self, change: Callable[[T], U]) -> "Page[U]":
        """Return the page with each row changed."""
        return Page([change(row) for row in self.rows], self.more, self.after)


class InvalidPosition(InvalidField):
    """The position of a page is not one of this list."""


def read_page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    *,
    by: Sequence[Key],
    descending: bool = True,
    after: str | None = None,
    limit: int,
    scalars: bool = False,
) -> Page[Any]:
    """Return the rows of `query` after a position, in the order of the columns `by`.

    `by` ends in a column that is unique, holds no NULL, and all of it runs in one direction.
    `scalars`: the query selects one thing, and the rows are that thing.
    Raises `InvalidPosition` if `after` is not the position of a page of this list.
    """
    if after is not None:
        here = tuple_(*by)
        position = tuple_(*_values(by, after))
        query = query.where(here < position if descending else here > position)
    order = [column.desc() if descending else column for column in by]
    found = session.execute(query.add_columns(*by).order_by(*order).limit(limit)).all()
    width = len(by)
    rows = [row[0] if scalars else row[:-width] for row in found]
    if len(rows) < limit:
        return Page(rows)
    ahead = query.with_only_columns(literal(1)).order_by(*order).offset(limit).limit(COUNTED + 1)
    more = session.scalar(select(func.count()).select_from(ahead.subquery())) or 0
    return Page(rows, more, _position(found[-1][-width:]) if more else None)


def _position(values: Sequence[Any]) -> str:
    return ",".join(
        value.isoformat() if isinstance(value, date) else str(value) for value in values
    )


def _values(by: Sequence[Key], after: str) -> list[Any]:
    # The last one may hold a comma itself, such as the id of a lead.
    parts = after.split(",", len(by) - 1)
    if len(parts) != len(by):
        raise InvalidPosition("after", _NOT_OURS)
    return [
        literal(_value(column.expression.type.python_type, part), column.expression.type)
        for column, part in zip(by, parts, strict=True)
    ]


_NOT_OURS = "is not a position of this list: take it from the line below a page"


def _value(kind: type, text: str) -> object:
    try:
        if issubclass(kind, datetime):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise ValueError
            return moment
        if issubclass(kind, date):
            return date.fromisoformat(text)
        if issubclass(kind, int):
            number = int(text)
            if not -(2**63) <= number < 2**63:
                raise ValueError
            return number
    except ValueError:
        raise InvalidPosition("after", _NOT_OURS) from None
    return text
