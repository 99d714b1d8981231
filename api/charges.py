"""`/v1/charges`: spend credit in one step. The rule is in `billing/credit/usage.py`."""

from http import HTTPMethod

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, credit_refusals, idempotency
from api.examples import UNKNOWN_ACCOUNT_IN_BODY, Example, Refused
from api.fields import Amount, Description, Ref
from api.routes import route
from billing import accounts
from billing.credit import usage
from db.session import transaction

charges = APIBlueprint("charges", __name__, url_prefix="/v1", abp_tags=[Tag(name="credit")])


class NewCharge(BaseModel):
    """Credit to spend now."""

    model_config = ConfigDict(strict=True, extra="forbid")

    account: Ref
    amount: Amount = Field(description="credits")
    description: Description = Field(default="", description="the text of the ledger row")


class Charge(BaseModel):
    """A charge, and the credit that is left; amounts in credits."""

    transaction_id: int = Field(description="the ledger's row")
    account: str
    amount: int
    balance: int
    held: int = Field(description="what open holds set aside")
    available: int = Field(description="what can be spent now")


@route(
    charges,
    HTTPMethod.POST,
    "/charges",
    scope="credits:spend",
    answers=Charge,
    status=201,
    refusals=(402, 404),
    example=Example(
        body={"account": "clinic:42", "amount": 30, "description": "AI summary of a visit"},
        answer={
            "transaction_id": 60,
            "account": "clinic:42",
            "amount": 30,
            "balance": 11_140,
            "held": 0,
            "available": 11_140,
        },
        refused=(
            Refused(
                402,
                "not-enough-credit",
                "1000000 credits are needed, 11140 are available",
                {"needed": 1_000_000, "available": 11_140, "balance": 11_140, "held": 0},
                body={"amount": 1_000_000},
            ),
            UNKNOWN_ACCOUNT_IN_BODY,
        ),
    ),
)
def create(body: NewCharge) -> Charge:
    """Spend credit, all of the amount or nothing.

    If less is available, the answer is a 402 `not-enough-credit` with `needed`, `balance`, `held`
    and `available`.
    """
    with transaction() as session:
        account_id = auth.account_in_reach(session, body.account).id
        with credit_refusals.raised(session, account_id):
            charged = usage.charge(
                session,
                **body.model_dump(),
                idempotency_key=f"{idempotency.operation_key()}:charge",
                actor=auth.caller().actor,
            )
        left = accounts.get_funds(session, account_id)
        answer = Charge(
            transaction_id=charged.transaction_id,
            account=body.account,
            amount=body.amount,
            balance=left.balance,
            held=left.held,
            available=left.available,
        )
        idempotency.keep(session, answer)
    return answer
