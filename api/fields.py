"""Types of fields that several resources take: texts, times and the cursor of a list."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from billing.money import MAX_CREDITS
from billing.text import DESCRIPTION_MAX_LENGTH, ID_MAX_LENGTH, REF_MAX_LENGTH, problem_with

FIRST_YEAR, LAST_YEAR = 1970, 9000
"""What the ledger can hold."""
_LARGEST = 2**63 - 1


def _recordable(max_length: int, *, may_be_empty: bool = False) -> Callable[[str], str]:
    def check(value: str) -> str:
        problem = problem_with(value, max_length=max_length, may_be_empty=may_be_empty)
        if problem:
            raise ValueError(problem)
        return value

    return check


def _instant(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(
            "must be a time such as 2026-11-21T10:00:00Z (a + is sent as %2B)"
        ) from None
    if moment.tzinfo is None:
        raise ValueError("must have a zone: Z, or an offset such as %2B05:30")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"must be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment


def _position(value: object) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= _LARGEST):
        raise ValueError("must be what an earlier page gave as its `next`")
    return int(text)


Ref = Annotated[str, AfterValidator(_recordable(REF_MAX_LENGTH))]
"""The reference of an account."""
Id = Annotated[str, AfterValidator(_recordable(ID_MAX_LENGTH))]
"""An id that a platform or a gateway gave."""
Description = Annotated[str, AfterValidator(_recordable(DESCRIPTION_MAX_LENGTH, may_be_empty=True))]
"""What stands beside an amount in the ledger."""
Amount = Annotated[int, Field(ge=1, le=MAX_CREDITS)]
"""Credits; for strict models."""
Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
"""An aware time in a query."""
After = Annotated[int, BeforeValidator(_position, json_schema_input_type=str)]
"""Where a page begins. Callers know it as a text that says nothing to them."""


class PageQuery(BaseModel):
    """Which page of a list."""

    # A filter with a slip in its name must not answer as if there were none.
    model_config = ConfigDict(extra="forbid")

    after: After | None = Field(default=None, description="`next` of the page before")
