"""`/v1/accounts`: open and show an account. Its lists are in `api/account_lists.py`."""

from datetime import datetime
from http import HTTPMethod
from typing import Literal, Self

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, idempotency
from api.examples import UNKNOWN_ACCOUNT, Example, Refused
from api.fields import Ref
from api.problems import Refusal, bad_field
from api.routes import route
from billing import accounts as rules
from db.models import Account as Row
from db.session import transaction

accounts = APIBlueprint("accounts", __name__, url_prefix="/v1", abp_tags=[Tag(name="accounts")])


class AccountPath(BaseModel):
    """The account."""

    ref: Ref = Field(
        description="the account's reference, such as clinic:42; the colon may be sent as %3A"
    )


class NewAccount(BaseModel):
    """An account to open."""

    model_config = ConfigDict(strict=True, extra="forbid")

    ref: str = Field(description="kind:id, such as clinic:42")
    name: str = Field(description="the customer's name")
    product: str = Field(description="clinic_leads or pharmapulse_one")
    timezone: str | None = Field(
        default=None, description="IANA name; by default the operator's zone"
    )
    overdraft_limit: int = Field(
        default=0,
        description="how far the balance may go below zero, in credits: needs the scope"
        " accounts:limits, and ends at the ceiling of the product",
    )
    state_code: str | None = Field(
        default=None,
        description="the customer's GST state, two digits; by default that of its GSTIN",
    )
    gstin: str | None = Field(
        default=None, description="the customer's GST number, if it is registered"
    )


class Account(BaseModel):
    """An account and its credit; amounts in credits."""

    account: str
    name: str
    product: str
    timezone: str
    balance: int
    held: int = Field(description="what open holds set aside")
    available: int = Field(description="balance - held + overdraft_limit: what can be spent now")
    overdraft_limit: int
    alert_level: Literal["ok", "low", "exhausted", "in_debt"]
    state_code: str | None
    gstin: str | None
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the answer for a row."""
        return cls.model_validate(
            {
                "account": row.ref,
                "available": rules.available(row),
                **{name: getattr(row, name) for name in _SAME_NAMES},
            }
        )


_SAME_NAMES = Account.model_fields.keys() - {"account", "available"}


_NEW = {
    "account": "clinic:42",
    "name": "City Clinic",
    "product": "clinic_leads",
    "timezone": "Asia/Kolkata",
    "balance": 0,
    "held": 0,
    "available": 0,
    "overdraft_limit": 0,
    "alert_level": "exhausted",
    "state_code": "27",
    "gstin": None,
    "created_at": "2026-11-20T04:30:00Z",
}


def _may_set_limits(body: NewAccount) -> None:
    # Whoever may open accounts must not give itself credit.
    if "overdraft_limit" in body.model_fields_set:
        auth.require_scope("accounts:limits", ", which the field overdraft_limit needs")


@route(
    accounts,
    HTTPMethod.POST,
    "/accounts",
    scope="accounts:write",
    answers=Account,
    status=201,
    check=_may_set_limits,
    example=Example(
        body={
            "ref": "clinic:42",
            "name": "City Clinic",
            "product": "clinic_leads",
            "timezone": "Asia/Kolkata",
            "state_code": "27",
        },
        answer=_NEW,
        refused=(Refused(409, "account-exists", "an account with this reference already exists"),),
    ),
)
def create(body: NewAccount) -> Account:
    """Open an account.

    A key for a product opens accounts of that product only; a key for one account opens none. If
    the reference is already taken, the answer is a 409 `account-exists`. With `overdraft_limit` the
    key needs the scope `accounts:limits` too; without it the answer is a 403 `missing-scope`.
    """
    caller = auth.caller()
    if caller.account_id is not None:
        raise Refusal(403, "a key for one account cannot open accounts", kind="out-of-reach")
    if caller.product is not None and body.product != caller.product:
        raise bad_field("product", f"must be {caller.product}, the product of this key")
    with transaction() as session:
        opened = Account.of(rules.create(session, **body.model_dump()))
        idempotency.keep(session, opened)
    return opened


@route(
    accounts,
    HTTPMethod.GET,
    "/accounts/<ref>",
    scope="accounts:read",
    answers=Account,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42"},
        answer={**_NEW, "balance": 11_250, "available": 11_250, "alert_level": "ok"},
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def show(path: AccountPath) -> Account:
    """Show an account and its credit."""
    with transaction() as session:
        return Account.of(auth.account_in_reach(session, path.ref))
