"""What of an account may be changed, and by which key: the body of `PATCH /v1/accounts/{ref}`."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api import auth
from api.problems import Refusal

OF_THE_HOUSE = ("overdraft_limit", "timezone")
"""What a key for one account cannot change: how much is granted to it, and when."""


def _absent() -> None:
    """Stand for a field that may be null and was not sent: `model_fields_set` has only what was."""


class AccountChange(BaseModel):
    """What is to change, each to its new value; what is left out stays as it is."""

    model_config = ConfigDict(strict=True, extra="forbid")

    # Factories, so that the document names no default: one of null would mean to remove.
    name: str = Field(default_factory=str, description="the customer's name")
    timezone: str = Field(
        default_factory=str,
        description="IANA name; the account's plan keeps its days and months, in the new zone",
    )
    state_code: str | None = Field(
        default_factory=_absent,
        description="the customer's GST state, two digits; null: that of its GSTIN, if it has one",
    )
    gstin: str | None = Field(
        default_factory=_absent,
        description="the customer's GST number, whose state must be the account's: of another"
        " state, send state_code as well; null removes it",
    )
    low_balance: int | None = Field(
        default_factory=_absent,
        description="the balance is low at this many credits or fewer; null: the catalog's number",
    )
    overdraft_limit: int = Field(
        default_factory=int,
        description="how far the balance may go below zero, in credits: needs the scope"
        " accounts:limits, and ends at the ceiling of the product",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"must hold some of {', '.join(type(self).model_fields)}")
        return self


def may_change(path: object, body: AccountChange) -> None:  # noqa: ARG001 - as the view
    """Raise `Refusal` 403 for a field that the caller's key may not set."""
    if "overdraft_limit" in body.model_fields_set:
        auth.require_scope("accounts:limits", ", which the field overdraft_limit needs")
    if auth.caller().account_id is None:
        return
    for field in OF_THE_HOUSE:
        if field in body.model_fields_set:
            raise Refusal(403, f"a key for one account cannot set {field}", kind="out-of-reach")
