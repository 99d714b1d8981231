"""A request to charge a lead, and its result: the types that every door uses."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from billing import instants
from billing.text import ID_MAX_LENGTH, REF_MAX_LENGTH, identity, problem_with_identity
from errors import PermanentError

MAX_PRICE_PAISE = 2**53 - 1
"""Largest whole number that every JSON reader keeps exact."""


def _of_this_century(value: datetime) -> datetime:
    return instants.in_utc(value, first_year=2000, last_year=2100)


def _noted(value: object) -> object:
    return None if problem_with_identity(value, max_length=ID_MAX_LENGTH) else value


_Text = Annotated[str, Field(max_length=ID_MAX_LENGTH), identity(ID_MAX_LENGTH)]
EventTime = Annotated[AwareDatetime, AfterValidator(_of_this_century)]
"""An ISO 8601 time with its offset, of this century; in UTC."""


class LeadRequest(BaseModel):
    """A lead to charge, as a platform sends it. Strict: no number in quotes, no fraction."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    lead_id: _Text
    account: Annotated[_Text, Field(max_length=REF_MAX_LENGTH)]
    package_price_paise: Annotated[int, Field(ge=0, le=MAX_PRICE_PAISE)]
    source: Annotated[str | None, BeforeValidator(_noted)] = None
    """Where the lead came from, such as `google-ads`. Only noted: None if it cannot be recorded."""
    occurred_at: EventTime | None = None

    def happened_at(self, moment: datetime, *, known_at: datetime) -> "LeadRequest":
        """Return this request with its time, or `moment` if it names none.

        A time after `known_at`, when the request came, counts as that (`billing/instants.py`).
        """
        moment = instants.not_ahead(self.occurred_at or moment, known_at=known_at)
        if moment == self.occurred_at:
            return self
        # Not model_copy, which costs more than reading the body did: every field is valid.
        return LeadRequest.model_construct(**{**self.__dict__, "occurred_at": moment})


class LeadState(StrEnum):
    """What became of a request to charge a lead."""

    CHARGED = "charged"
    REPEATED = "repeated"
    """The lead is already charged, for the same account and package; nothing was taken now."""
    INSUFFICIENT_CREDIT = "insufficient_credit"
    """The lead is parked, now or since an earlier request; nothing was taken."""
    CANCELLED = "cancelled"
    """An operator cancelled the parked lead; nothing was taken."""
    REFUSED = "refused"
    """`error` says why: `UnknownAccount` or `IdempotencyConflict`."""


@dataclass(frozen=True, slots=True)
class LeadResult:
    """What became of one request; `credits` is the price of the lead."""

    state: LeadState
    account: str
    credits: int
    error: PermanentError | None = None
    transaction_id: int | None = field(default=None, compare=False)
    """Of the ledger row, if it was charged now; so is `balance`."""
    balance: int | None = field(default=None, compare=False)
    """Credits of the account behind it."""
