"""`/v1/holds`: set credit aside and charge it later. The rules: `billing/credit/holds.py`."""

from datetime import datetime, timedelta
from http import HTTPMethod
from typing import Literal, Self

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api import auth, credit_refusals, idempotency
from api.fields import Amount, Description, Ref
from api.problems import Refusal
from api.routes import route
from billing import accounts
from billing.credit import LONGEST_HOLD
from billing.credit import holds as rules
from billing.ledger import Kind
from db.models import Account
from db.models import Hold as Row
from db.session import transaction

DEFAULT_SECONDS = 900
LONGEST_SECONDS = int(LONGEST_HOLD.total_seconds())

holds = APIBlueprint("holds", __name__, url_prefix="/v1", abp_tags=[Tag(name="credit")])


class HoldPath(BaseModel):
    """Which hold."""

    hold_id: str


class NewHold(BaseModel):
    """Credit to be set aside."""

    model_config = ConfigDict(strict=True, extra="forbid")

    account: Ref
    amount: Amount = Field(description="credits: the most that the charge may come to")
    expires_in_seconds: int = Field(
        default=DEFAULT_SECONDS, ge=1, le=LONGEST_SECONDS,
        description="after so long the credit is free again, unless the hold was captured",
    )  # fmt: skip
    description: Description = Field(
        default="", description="what will stand in the ledger beside the charge"
    )


class Capture(BaseModel):
    """What of a hold is to be charged."""

    model_config = ConfigDict(strict=True, extra="forbid")

    amount: Amount | None = Field(
        default=None, description="credits; the rest is released. Without, all of the hold"
    )


class Nothing(BaseModel):
    """An empty object; the body may be left out as well."""

    model_config = ConfigDict(extra="forbid")


class Hold(BaseModel):
    """A hold, and what its account has; amounts in credits."""

    hold_id: str
    account: str
    state: Literal["open", "captured", "voided", "expired"]
    amount: int = Field(description="what was set aside")
    captured: int = Field(description="what of it was charged")
    transaction_id: int | None = Field(description="the ledger's row, once it is captured")
    expires_at: datetime | None
    balance: int
    held: int = Field(description="what open holds keep")
    available: int = Field(description="what can be spent now")

    @classmethod
    def of(cls, row: Row, account: str, left: accounts.Funds) -> Self:
        """Return it as told to callers, with the figures of its account at the same moment."""
        return cls.model_validate(
            {
                "hold_id": str(row.id),
                "account": account,
                "state": rules.state_now(row),
                "amount": row.amount,
                "captured": row.captured,
                "transaction_id": row.transaction_id,
                "expires_at": row.expires_at,
                "balance": left.balance,
                "held": left.held,
                "available": left.available,
            }
        )


@route(holds, HTTPMethod.POST, "/holds", scope="credits:spend", answers=Hold, status=201,
       refusals=(402, 404))  # fmt: skip
def place(body: NewHold) -> Hold:
    """Set credit aside, so that nothing else spends it.

    More than is available is a 402 `not-enough-credit`, which tells `needed`, `balance`, `held`
    and `available`.
    """
    with transaction() as session:
        account = auth.account_in_reach(session, body.account)
        with credit_refusals.told(session, account.id):
            placed = rules.place(
                session,
                account=body.account,
                amount=body.amount,
                idempotency_key=idempotency.operation_key(),
                actor=auth.caller().actor,
                expires_in=timedelta(seconds=body.expires_in_seconds),
                description=body.description,
            )
        told = Hold.of(placed, body.account, accounts.get_funds(session, account.id))
        idempotency.keep(session, told)
    return told


@route(holds, HTTPMethod.GET, "/holds/<hold_id>", scope="credits:read", answers=Hold,
       refusals=(404,))  # fmt: skip
def show(path: HoldPath) -> Hold:
    """Tell what became of a hold."""
    with transaction() as session:
        # In one statement: a hold that is still open is still among what is held.
        hold, account = _in_reach(session, path.hold_id)
        return Hold.of(hold, account.ref, accounts.funds_of(account))


@route(holds, HTTPMethod.POST, "/holds/<hold_id>/capture", scope="credits:spend", answers=Hold,
       refusals=(402, 404), without_body=True)  # fmt: skip
def capture(path: HoldPath, body: Capture) -> Hold:
    """Charge what is held, or a part of it; the rest is released.

    A hold that was captured, voided or has expired is a 409 `hold-finished`, which tells its
    `state`.
    """
    with transaction() as session:
        hold, account = _in_reach(session, path.hold_id)
        with credit_refusals.told(session, hold.account_id):
            done = rules.capture(
                session,
                hold_id=hold.id,
                amount=body.amount,
                idempotency_key=idempotency.operation_key(),
                actor=auth.caller().actor,
            )
        told = Hold.of(done, account.ref, accounts.get_funds(session, account.id))
        idempotency.keep(session, told)
    return told


@route(holds, HTTPMethod.POST, "/holds/<hold_id>/void", scope="credits:spend", answers=Hold,
       refusals=(404,), without_body=True)  # fmt: skip
def void(path: HoldPath, body: Nothing) -> Hold:  # noqa: ARG001 - whatever it holds is refused
    """Release all that is held, and charge nothing.

    A hold that was captured, voided or has expired is a 409 `hold-finished`, which tells its
    `state`.
    """
    with transaction() as session:
        hold, account = _in_reach(session, path.hold_id)
        with credit_refusals.told(session, hold.account_id):
            done = rules.void(
                session,
                hold_id=hold.id,
                idempotency_key=idempotency.operation_key(),
                actor=auth.caller().actor,
            )
        told = Hold.of(done, account.ref, accounts.get_funds(session, account.id))
        idempotency.keep(session, told)
    return told


def _in_reach(session: Session, text: str) -> tuple[Row, Account]:
    caller = auth.caller()
    found = None
    # As it was told: a hold is not known by other ways to write its number.
    if text.isascii() and text.isdigit() and len(text) < 20 and text == str(int(text)):
        found = rules.find_in_reach(
            session,
            int(text),
            # Others keep credit for what the house does, such as taking back what a payment
            # brought: a capture here would take that twice.
            kind=Kind.USAGE,
            product=caller.product,
            account_id=caller.account_id,
        )
    if found is None:
        raise Refusal(404, "no hold of this id is known", kind="unknown-hold")
    return found
