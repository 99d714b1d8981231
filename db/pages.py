"""Pages of long lists: keyset, so that a page costs the same wherever it begins.

The query functions of `billing` return a `Page`; the command line prints it and how to go on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
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

    `more` counts the rows that follow, up to `COUNTED` + 1, which stands for "and more"; zero if
    they were not to be counted. `after` is the position of the last row, for the next page; None
    if nothing follows.
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows of a list are wanted: `limit` of them after a position, of a span of time."""

    limit: int
    after: str | None = None
    since: datetime | None = None
    """At or after this time; None: from the beginning."""
    until: datetime | None = None
    """Before this time; None: to the end."""
    counted: bool = True
    """Whether what follows is counted; else only the position of a full page is known."""


class InvalidPosition(InvalidField):
    """The position of a page is not one of this list."""


def read_page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    wanted: Wanted,
    *,
    by: Sequence[Key],
    time: Key | None = None,
    descending: bool = True,
    scalars: bool = False,
) -> Page[Any]:
    """Return the wanted rows of `query` in the order of the columns `by`.

    `by` ends in a column that is unique, holds no NULL, and all of it runs in one direction.
    `time`: the column that `since` and `until` mean; it rises with the only column of `by`, an id,
    but for what was written at the same moment. `scalars`: the query selects one thing, and the
    rows are that thing.
    Raises `InvalidPosition` if `after` is not the position of a page of this list.
    """
    query = _within(query, wanted, by, time)
    query = start_after(query, wanted.after, by=by, descending=descending)
    order = [column.desc() if descending else column for column in by]
    found = session.execute(query.add_columns(*by).order_by(*order).limit(wanted.limit)).all()
    width = len(by)
    rows = [row[0] if scalars else row[:-width] for row in found]
    if len(rows) < wanted.limit:
        return Page(rows)
    last = position_of(found[-1][-width:])
    if not wanted.counted:
        return Page(rows, 0, last)
    ahead = query.with_only_columns(literal(1), maintain_column_froms=True).order_by(*order)
    ahead = ahead.offset(wanted.limit).limit(COUNTED + 1)
    more = session.scalar(select(func.count()).select_from(ahead.subquery())) or 0
    return Page(rows, more, last if more else None)


_SLACK = timedelta(hours=1)
"""More than rows that are written at the same moment can be out of the order of their ids."""


def _within(
    query: Select[*tuple[Any, ...]], wanted: Wanted, by: Sequence[Key], time: Key | None
) -> Select[*tuple[Any, ...]]:
    if time is None:
        return query
    if wanted.until is not None:
        query = query.where(time < wanted.until)
    if wanted.since is not None:
        query = query.where(time >= wanted.since)
        if len(by) == 1:
            # The newest id that is too old: without it, a page that is not full would read the
            # table back to its first row.
            before = select(by[0]).where(time < wanted.since - _SLACK).order_by(by[0].desc())
            oldest = before.limit(1).correlate(None).scalar_subquery()
            query = query.where(by[0] > func.coalesce(oldest, 0))
    return query


def start_after(
    query: Select[*tuple[Any, ...]], after: str | None, *, by: Sequence[Key], descending: bool
) -> Select[*tuple[Any, ...]]:
    """Return a query of the rows behind a position; for what `read_page` cannot do."""
    if after is None:
        return query
    here, position = tuple_(*by), tuple_(*_values(by, after))
    return query.where(here < position if descending else here > position)


def parse_position(after: str | None) -> int | None:
    """Return a position that is one whole number of 1 or more; raises as `read_page`."""
    if after is None:
        return None
    number = _value(int, after)
    if not isinstance(number, int) or number < 1:
        raise InvalidPosition("after", _NOT_OURS)
    return number


def position_of(values: Sequence[Any]) -> str:
    """Return the position of a row from its values of the columns `by`."""
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
