"""Types of fields that several resources share: texts, times and the cursor of a list."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from billing import instants
from billing.money import MAX_CREDITS
from billing.text import DESCRIPTION_MAX_LENGTH, ID_MAX_LENGTH, REF_MAX_LENGTH, recordable

_LARGEST = 2**63 - 1


def _instant(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a time such as 2026-11-21T10:00:00Z (send + as %2B)") from None
    if moment.tzinfo is None:
        raise ValueError("must have a zone: Z, or an offset such as %2B05:30")
    return instants.in_utc(moment)


def _position(value: object) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= _LARGEST):
        raise ValueError("must be the `next` of an earlier page")
    return int(text)


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
After = Annotated[int, BeforeValidator(_position, json_schema_input_type=str)]
"""Where a page begins. For callers it is an opaque text."""


class PageQuery(BaseModel):
    """The page of a list."""

    # A misspelt filter must be an error, not a list without that filter.
    model_config = ConfigDict(extra="forbid")

    after: After | None = Field(default=None, description="`next` of the page before")
