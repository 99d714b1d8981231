"""`/v1/accounts`: open, show, list and change accounts.

What may change is in `api/account_changes.py`, the lists of one account in `api/account_lists.py`.
"""

from datetime import datetime
from http import HTTPMethod
from typing import Literal, Self

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, idempotency
from api.account_changes import AccountChange, may_change
from api.examples import UNKNOWN_ACCOUNT, UNKNOWN_PRODUCT, Example, Refused
from api.fields import Ref, require_product
from api.pages import PAGE, page_of
from api.problems import Refusal, bad_field
from api.routes import route
from billing import accounts as rules
from billing import plans
from billing.ledger.alert_levels import low_balance_of
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
    product: str = Field(description="a product of the catalog, such as clinic_leads")
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
    low_balance: int | None = Field(
        default=None,
        description="the balance is low at this many credits or fewer; by default the catalog's",
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
    low_balance: int = Field(
        description="the balance is low at this many credits or fewer: the account's own number,"
        " or the catalog's"
    )
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
                "low_balance": low_balance_of(row.low_balance),
                **{name: getattr(row, name) for name in _SAME_NAMES},
            }
        )


_SAME_NAMES = Account.model_fields.keys() - {"account", "available", "low_balance"}


class AccountQuery(BaseModel):
    """Filters; one that is left out does not limit the list."""

    # A misspelt filter must be an error, not a list without that filter.
    model_config = ConfigDict(extra="forbid")

    product: str | None = Field(default=None, description="only accounts of this product")
    after: Ref | None = Field(default=None, description="`next` of the page before")


class Accounts(BaseModel):
    """A page of accounts, by reference."""

    accounts: list[Account]
    next: str | None = Field(description="`after` of the next page; null on the last page")


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
    "low_balance": 500,
    "state_code": "27",
    "gstin": None,
    "created_at": "2026-11-20T04:30:00Z",
}


_USED = {**_NEW, "balance": 11_250, "available": 11_250, "alert_level": "ok", "low_balance": 1_000}


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
    auth.note_account(opened.account)
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
        answer=_USED,
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def show(path: AccountPath) -> Account:
    """Show an account and its credit."""
    with transaction() as session:
        return Account.of(auth.account_in_reach(session, path.ref))


@route(
    accounts,
    HTTPMethod.GET,
    "/accounts",
    scope="accounts:read",
    answers=Accounts,
    example=Example(
        query={"product": "clinic_leads"},
        answer={"accounts": [_USED], "next": None},
        refused=(UNKNOWN_PRODUCT,),
    ),
)
def list_all(query: AccountQuery) -> Accounts:
    """List the accounts in the key's reach, 20 a page, by reference.

    A key for a product lists the accounts of that product, a key for one account that one.
    """
    require_product(query.product)
    caller = auth.caller()
    with transaction() as session:
        found = rules.list_in_reach(
            session,
            product=caller.product,
            account_id=caller.account_id,
            of_product=query.product,
            after=query.after,
            limit=PAGE + 1,
        )
    page, more = page_of(found)
    return Accounts(accounts=[Account.of(row) for row in page], next=page[-1].ref if more else None)


_TOO_HIGH = (
    "must be at most 10000 credits, the ceiling of clinic_leads"
    " (products.clinic_leads.max_overdraft_credits in the catalog)"
)


@route(
    accounts,
    HTTPMethod.PATCH,
    "/accounts/<ref>",
    scope="accounts:write",
    answers=Account,
    refusals=(404,),
    check=may_change,
    example=Example(
        path={"ref": "clinic:42"},
        body={"low_balance": 1_000},
        answer=_USED,
        refused=(
            UNKNOWN_ACCOUNT,
            Refused(
                422,
                "invalid-fields",
                f"overdraft_limit: {_TOO_HIGH}",
                {"errors": [{"field": "overdraft_limit", "detail": _TOO_HIGH}]},
                body={"overdraft_limit": 20_000},
            ),
        ),
    ),
)
def update(path: AccountPath, body: AccountChange) -> Account:
    """Change an account: each field that is sent is set to its value, the others stay.

    All of it is done, or nothing. The values are absolute, so a repeat changes nothing and no
    Idempotency-Key is needed; one that is sent is not read. Of two changes at once the later one
    counts, field by field. With `overdraft_limit` the key needs the scope `accounts:limits` too;
    without it the answer is a 403 `missing-scope`. A key for one account changes what the customer
    says of itself: name, state_code, gstin and low_balance. For `overdraft_limit` and `timezone`
    its answer is a 403 `out-of-reach`.
    """
    asked = body.model_dump(exclude_unset=True)
    timezone = asked.pop("timezone", None)
    with transaction() as session:
        ref = auth.account_in_reach(session, path.ref).ref
        if timezone is not None:
            plans.move_to_zone(session, ref, timezone)
        return Account.of(rules.update(session, ref, **asked))
