"""`/v1/accounts`: opening an account, and what it has. Its lists are in `api/account_lists.py`."""

from datetime import datetime
from http import HTTPMethod
from typing import Literal, Self

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api import auth, idempotency
from api.fields import Ref
from api.problems import Refusal, bad_field
from api.routes import route
from billing import accounts as rules
from billing.accounts import AccountExists, InvalidAccount
from db.models import Account as Row
from db.session import transaction

accounts = APIBlueprint("accounts", __name__, url_prefix="/v1", abp_tags=[Tag(name="accounts")])


class AccountPath(BaseModel):
    """Which account."""

    ref: Ref = Field(description="its reference, such as clinic:42; the colon may be sent as %3A")


class NewAccount(BaseModel):
    """An account to be opened."""

    model_config = ConfigDict(strict=True, extra="forbid")

    ref: str = Field(description="kind:id, such as clinic:42")
    name: str = Field(description="what people call the customer")
    product: str = Field(description="clinic_leads or pharmapulse_one")
    timezone: str | None = Field(default=None, description="IANA name; by default the house's")
    overdraft_limit: int = Field(default=0, description="credits below nought")
    state_code: str | None = Field(
        default=None, description="GST state of the customer, two digits; by default its GSTIN's"
    )
    gstin: str | None = Field(default=None, description="its GST number, where it is registered")


class Account(BaseModel):
    """What an account is and has; amounts in credits."""

    account: str
    name: str
    product: str
    timezone: str
    balance: int
    held: int = Field(description="what open holds keep")
    available: int = Field(description="balance - held + overdraft_limit: what can be spent now")
    overdraft_limit: int
    alert_level: Literal["ok", "low", "exhausted", "in_debt"]
    state_code: str | None
    gstin: str | None
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return it as told to callers."""
        return cls.model_validate(
            {
                "account": row.ref,
                "available": rules.available(row),
                **{name: getattr(row, name) for name in _TOLD_AS_IT_IS},
            }
        )


_TOLD_AS_IT_IS = Account.model_fields.keys() - {"account", "available"}


@route(accounts, HTTPMethod.POST, "/accounts", scope="accounts:write", answers=Account,
       status=201)  # fmt: skip
def create(body: NewAccount) -> Account:
    """Open an account.

    A key for a product opens accounts of that product alone, a key for one account none. A
    reference that is taken is a 409 `account-exists`.
    """
    caller = auth.caller()
    if caller.account_id is not None:
        raise Refusal(403, "this key is for one account and opens no other", kind="out-of-reach")
    if caller.product is not None and body.product != caller.product:
        raise bad_field("product", f"must be {caller.product}, which this key is for")
    with transaction() as session:
        opened = Account.of(_opened(session, body))
        idempotency.keep(session, opened)
    return opened


@route(accounts, HTTPMethod.GET, "/accounts/<ref>", scope="accounts:read", answers=Account,
       refusals=(404,))  # fmt: skip
def show(path: AccountPath) -> Account:
    """Tell what an account has."""
    with transaction() as session:
        return Account.of(auth.account_in_reach(session, path.ref))


def _opened(session: Session, body: NewAccount) -> Row:
    try:
        return rules.create(session, **body.model_dump())
    except InvalidAccount as error:
        raise bad_field(error.field, error.problem) from error
    except AccountExists as error:
        raise Refusal(
            409, "an account of this reference exists already", kind="account-exists"
        ) from error
