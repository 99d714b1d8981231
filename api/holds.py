"""`/v1/holds`: set credit aside and charge it later. The rules are in `billing/credit/holds.py`."""

from datetime import datetime, timedelta
from http import HTTPMethod
from typing import Literal, Self

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api import auth, credit_refusals, idempotency
from api.examples import UNKNOWN_ACCOUNT_IN_BODY, Example, Refused
from api.fields import Amount, Description, Ref
from api.problems import unknown
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

_UNKNOWN_HOLD = Refused(404, "unknown-hold", "no hold with this id is known", path={"hold_id": "5"})


class HoldPath(BaseModel):
    """The hold."""

    hold_id: str = Field(description="ours, from the answer of POST /v1/holds")


class NewHold(BaseModel):
    """Credit to set aside."""

    model_config = ConfigDict(strict=True, extra="forbid")

    account: Ref
    amount: Amount = Field(description="credits; the charge may not exceed them")
    expires_in_seconds: int = Field(
        default=DEFAULT_SECONDS,
        ge=1,
        le=LONGEST_SECONDS,
        description="the credit is free again after this time, unless the hold was captured",
    )
    description: Description = Field(
        default="", description="the text of the ledger row of the charge"
    )


class Capture(BaseModel):
    """How much of a hold to charge."""

    model_config = ConfigDict(strict=True, extra="forbid")

    amount: Amount | None = Field(
        default=None, description="credits; the rest is released. By default the whole hold"
    )


class Nothing(BaseModel):
    """An empty object; the body may also be left out."""

    model_config = ConfigDict(extra="forbid")


class Hold(BaseModel):
    """A hold and the credit of its account; amounts in credits."""

    hold_id: str
    account: str
    state: Literal["open", "captured", "voided", "expired"]
    amount: int = Field(description="credits that were set aside")
    captured: int = Field(description="credits of it that were charged")
    transaction_id: int | None = Field(description="the ledger's row, once it is captured")
    expires_at: datetime | None
    balance: int
    held: int = Field(description="what open holds set aside")
    available: int = Field(description="what can be spent now")

    @classmethod
    def of(cls, row: Row, account: str, left: accounts.Funds) -> Self:
        """Return the answer for a row and the figures of its account at the same moment."""
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


_PLACED = {
    "hold_id": "3",
    "account": "clinic:42",
    "state": "open",
    "amount": 100,
    "captured": 0,
    "transaction_id": None,
    "expires_at": "2026-11-22T06:45:00Z",
    "balance": 11_250,
    "held": 100,
    "available": 11_150,
}


@route(
    holds,
    HTTPMethod.POST,
    "/holds",
    scope="credits:spend",
    answers=Hold,
    status=201,
    refusals=(402, 404),
    example=Example(
        body={"account": "clinic:42", "amount": 100, "description": "AI scan"},
        answer=_PLACED,
        refused=(
            Refused(
                402,
                "not-enough-credit",
                "1000000 credits are needed, 11150 are available",
                {"needed": 1_000_000, "available": 11_150, "balance": 11_250, "held": 100},
                body={"amount": 1_000_000},
            ),
            UNKNOWN_ACCOUNT_IN_BODY,
        ),
    ),
)
def place(body: NewHold) -> Hold:
    """Set credit aside, so that nothing else can spend it.

    If less is available, the answer is a 402 `not-enough-credit` with `needed`, `balance`, `held`
    and `available`.
    """
    with transaction() as session:
        account = auth.account_in_reach(session, body.account)
        with credit_refusals.raised(session, account.id):
            placed = rules.place(
                session,
                account=body.account,
                amount=body.amount,
                idempotency_key=idempotency.operation_key(),
                actor=auth.caller().actor,
                expires_in=timedelta(seconds=body.expires_in_seconds),
                description=body.description,
            )
        answer = Hold.of(placed, body.account, accounts.get_funds(session, account.id))
        idempotency.keep(session, answer)
    return answer


@route(
    holds,
    HTTPMethod.GET,
    "/holds/<hold_id>",
    scope="credits:read",
    answers=Hold,
    refusals=(404,),
    example=Example(path={"hold_id": "3"}, answer=_PLACED, refused=(_UNKNOWN_HOLD,)),
)
def show(path: HoldPath) -> Hold:
    """Show a hold and its state."""
    with transaction() as session:
        # In one statement: an open hold is then part of `held`.
        hold, account = _in_reach(session, path.hold_id)
        return Hold.of(hold, account.ref, accounts.funds_of(account))


@route(
    holds,
    HTTPMethod.POST,
    "/holds/<hold_id>/capture",
    scope="credits:spend",
    answers=Hold,
    refusals=(402, 404),
    without_body=True,
    example=Example(
        path={"hold_id": "3"},
        body={"amount": 80},
        answer={
            **_PLACED,
            "state": "captured",
            "captured": 80,
            "transaction_id": 58,
            "balance": 11_170,
            "held": 0,
            "available": 11_170,
        },
        refused=(
            Refused(409, "hold-finished", "this hold is already captured", {"state": "captured"}),
            _UNKNOWN_HOLD,
        ),
    ),
)
def capture(path: HoldPath, body: Capture) -> Hold:
    """Charge a hold, or a part of it; the rest is released.

    If the hold is already captured, voided or expired, the answer is a 409 `hold-finished` with its
    `state`.
    """
    with transaction() as session:
        hold, account = _in_reach(session, path.hold_id)
        with credit_refusals.raised(session, hold.account_id):
            done = rules.capture(
                session,
                hold_id=hold.id,
                amount=body.amount,
                idempotency_key=idempotency.operation_key(),
                actor=auth.caller().actor,
            )
        answer = Hold.of(done, account.ref, accounts.get_funds(session, account.id))
        idempotency.keep(session, answer)
    return answer


@route(
    holds,
    HTTPMethod.POST,
    "/holds/<hold_id>/void",
    scope="credits:spend",
    answers=Hold,
    refusals=(404,),
    without_body=True,
    example=Example(
        path={"hold_id": "4"},
        body={},
        answer={
            **_PLACED,
            "hold_id": "4",
            "state": "voided",
            "balance": 11_170,
            "held": 0,
            "available": 11_170,
        },
        refused=(
            Refused(409, "hold-finished", "this hold is already voided", {"state": "voided"}),
            _UNKNOWN_HOLD,
        ),
    ),
)
def void(path: HoldPath, body: Nothing) -> Hold:  # noqa: ARG001 - only checked to be empty
    """Release a hold and charge nothing.

    If the hold is already captured, voided or expired, the answer is a 409 `hold-finished` with its
    `state`.
    """
    with transaction() as session:
        hold, account = _in_reach(session, path.hold_id)
        with credit_refusals.raised(session, hold.account_id):
            done = rules.void(
                session,
                hold_id=hold.id,
                idempotency_key=idempotency.operation_key(),
                actor=auth.caller().actor,
            )
        answer = Hold.of(done, account.ref, accounts.get_funds(session, account.id))
        idempotency.keep(session, answer)
    return answer


def _in_reach(session: Session, text: str) -> tuple[Row, Account]:
    caller = auth.caller()
    found = None
    # Only in the form of our answers: `007` and `+7` name no hold.
    if text.isascii() and text.isdigit() and len(text) < 20 and text == str(int(text)):
        found = rules.find_in_reach(
            session,
            int(text),
            # Holds of other kinds are the system's own, such as a clawback of a payment: a
            # capture here would take that credit twice.
            kind=Kind.USAGE,
            product=caller.product,
            account_id=caller.account_id,
        )
    if found is None:
        raise unknown("hold")
    return found
