"""`/v1/refunds`: refund a payment, and see what became of it.

The rules are in `billing/returns/refunds.py`.
"""

from datetime import datetime
from http import HTTPMethod
from typing import Annotated, Literal, Self

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, idempotency
from api.examples import Example, Refused
from api.fields import Id, row_number
from api.problems import unknown
from api.routes import route
from billing.payments import queries
from billing.returns import refunds as rules
from billing.text import DESCRIPTION_MAX_LENGTH
from db.session import transaction
from tasks.returns import submission
from tasks.returns.submission import RefundStanding

refunds = APIBlueprint("refunds", __name__, url_prefix="/v1", abp_tags=[Tag(name="refunds")])


class RefundPath(BaseModel):
    """The refund."""

    refund_id: Annotated[int, row_number("the `refund_id` of an answer, a number")] = Field(
        description="ours, as POST /v1/refunds answered it"
    )


class NewRefund(BaseModel):
    """A refund to make."""

    model_config = ConfigDict(strict=True, extra="forbid")

    payment_id: Id = Field(description="the gateway's")
    amount_paise: int | None = Field(default=None, ge=1, description="by default all that is left")
    reason: str = Field(
        max_length=DESCRIPTION_MAX_LENGTH, description="why; an auditor will read it"
    )


RefundState = Literal["requested", "submitted", "unknown", "processed", "failed"]


class Refund(BaseModel):
    """A refund and its state."""

    model_config = ConfigDict(from_attributes=True)

    refund_id: str = Field(description="ours")
    payment_id: str
    state: RefundState = Field(
        description="requested, submitted: in progress; unknown: the gateway's answer was lost and"
        " is looked up; processed: done; failed: money and credit stay as they were"
    )
    amount_paise: int
    credits_taken: int = Field(
        description="with the bonus; reserved while the refund is in progress"
    )
    debt: int = Field(description="credits of them that were already spent, and are owed")
    account: str | None = Field(description="null if the payment is of no known account")
    reason: str = Field(description="why, as whoever asked for it wrote")
    created_at: datetime

    @classmethod
    def of(cls, standing: RefundStanding) -> Self:
        """Return the answer for a refund as it stands."""
        same = cls.model_fields.keys() - {"refund_id"}
        fields = {name: getattr(standing, name) for name in same}
        return cls(refund_id=str(standing.refund_id), **fields)


PROCESSED = {
    "refund_id": "5",
    "payment_id": "pay_RkXcP4mWz0sLhE",
    "state": "processed",
    "amount_paise": 200_000,
    "credits_taken": 2_300,
    "debt": 0,
    "account": "clinic:42",
    "reason": "bought twice by mistake",
    "created_at": "2026-11-21T06:00:00Z",
}
"""The refund of the examples."""


@route(
    refunds,
    HTTPMethod.POST,
    "/refunds",
    scope="refunds:write",
    answers=Refund,
    status=201,
    refusals=(404,),
    asks_gateway=True,
    example=Example(
        body={
            "payment_id": "pay_RkXcP4mWz0sLhE",
            "amount_paise": 200_000,
            "reason": "bought twice by mistake",
        },
        answer=PROCESSED,
        refused=(
            Refused(
                404,
                "unknown-payment",
                "no payment with this id is known",
                body={"payment_id": "pay_RkXe2wH6yB9cMq"},
            ),
            Refused(
                409,
                "not-refundable",
                "the payment has 800000 paise left to refund: cannot refund 900000",
                body={"amount_paise": 900_000},
            ),
        ),
    ),
)
def create(body: NewRefund) -> Refund:
    """Refund a payment, wholly or in part.

    The credit of the payment and its share of the bonus are reserved first, and taken when the
    money is paid back. If less is left of the payment, or it is charged back, the answer is a 409
    `not-refundable`.
    """
    _require_in_reach(body.payment_id)
    refund = submission.request_refund(
        payment_id=body.payment_id,
        amount_paise=body.amount_paise,
        reason=body.reason,
        actor=auth.caller().actor,
        request_key=idempotency.operation_key(),
    )
    if refund.state != "processed":
        idempotency.not_final()
    return Refund.of(refund)


@route(
    refunds,
    HTTPMethod.GET,
    "/refunds/<refund_id>",
    scope="refunds:read",
    answers=Refund,
    refusals=(404,),
    example=Example(
        path={"refund_id": "5"},
        answer=PROCESSED,
        refused=(
            Refused(
                404,
                "unknown-refund",
                "no refund with this id is known",
                path={"refund_id": "999999"},
            ),
        ),
    ),
)
def show(path: RefundPath) -> Refund:
    """Show a refund and its state, whether it was asked for here or at the gateway."""
    caller = auth.caller()
    with transaction() as session:
        found = rules.find_in_reach(
            session, path.refund_id, product=caller.product, account_id=caller.account_id
        )
        if found is None:
            raise unknown("refund")
        return Refund.of(RefundStanding.of(*found))


def _require_in_reach(payment_id: str) -> None:
    caller = auth.caller()
    with transaction() as session:
        found = queries.find_in_reach(
            session, payment_id, product=caller.product, account_id=caller.account_id
        )
    if found is None:
        raise unknown("payment")
