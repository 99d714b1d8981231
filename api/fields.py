"""Types of fields that several resources share: texts, times and the cursor of a list."""

import re
from datetime import date, datetime
from typing import Annotated

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from api.problems import bad_field
from billing import catalog, instants
from billing.money import MAX_CREDITS
from billing.plans import parse_month
from billing.text import DESCRIPTION_MAX_LENGTH, ID_MAX_LENGTH, REF_MAX_LENGTH, recordable

_LARGEST = 2**63 - 1
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH = "^[0-9]{4}-(0[1-9]|1[0-2])$"


def _instant(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a time such as 2026-11-21T10:00:00Z (send + as %2B)") from None
    if moment.tzinfo is None:
        raise ValueError("must have a zone: Z, or an offset such as %2B05:30")
    return instants.in_utc(moment)


def _day(value: object) -> date:
    text = str(value)
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("must be a day such as 2026-11-21")


def _month(value: object) -> date:
    try:
        return parse_month(str(value))
    except ValueError:
        raise ValueError("must be a month such as 2026-11") from None


def row_number(what: str) -> BeforeValidator:
    """Return the reader of a row's number that an answer gave out as a text, as `what`."""

    def read(value: object) -> int:
        number = number_in(value)
        if not number:
            raise ValueError(f"must be {what}")
        return number

    return BeforeValidator(read, json_schema_input_type=str)


def number_in(value: object) -> int | None:
    """Return the number that a text is, from zero to the database's largest; None: it is none."""
    text = str(value)
    is_number = text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST
    return int(text) if is_number else None


Ref = Annotated[str, recordable(REF_MAX_LENGTH)]
"""The reference of an account."""
Id = Annotated[str, recordable(ID_MAX_LENGTH)]
"""An id of a platform or a gateway."""
Description = Annotated[str, recordable(DESCRIPTION_MAX_LENGTH, may_be_empty=True)]
"""The text of a ledger row."""
Amount = Annotated[int, Field(ge=1, le=MAX_CREDITS)]
"""Credits; for strict models."""
Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
"""An aware time in a query, in UTC."""
Day = Annotated[date, BeforeValidator(_day)]
"""A day in a query; pydantic alone would also read a number of seconds as one."""
Month = Annotated[
    date, BeforeValidator(_month), WithJsonSchema({"type": "string", "pattern": _MONTH})
]
"""A month in a query, as its first day."""
After = Annotated[int, row_number("the `next` of an earlier page")]
"""Where a page begins. For callers it is an opaque text."""


class PageQuery(BaseModel):
    """The page of a list."""

    # A misspelt filter must be an error, not a list without that filter.
    model_config = ConfigDict(extra="forbid")

    after: After | None = Field(default=None, description="`next` of the page before")


def require_product(product: str | None) -> None:
    """Raise `Refusal` 422 for a filter by a product that the catalog does not have."""
    known = catalog.get().products
    if product is not None and product not in known:
        raise bad_field("product", f"must be one of {', '.join(known)}")
