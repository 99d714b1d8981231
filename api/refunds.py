"""`/v1/refunds`: refund a payment. The rules are in `billing/returns/refunds.py`."""

from http import HTTPMethod

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, idempotency
from api.examples import Example, Refused
from api.fields import Id
from api.problems import Refusal
from api.routes import route
from billing import accounts
from billing.payments import queries
from billing.text import DESCRIPTION_MAX_LENGTH
from db.session import transaction
from tasks.returns import submission

refunds = APIBlueprint("refunds", __name__, url_prefix="/v1", abp_tags=[Tag(name="refunds")])


class NewRefund(BaseModel):
    """A refund to make."""

    model_config = ConfigDict(strict=True, extra="forbid")

    payment_id: Id = Field(description="the gateway's")
    amount_paise: int | None = Field(default=None, ge=1, description="by default all that is left")
    reason: str = Field(
        max_length=DESCRIPTION_MAX_LENGTH, description="why; an auditor will read it"
    )


class Refund(BaseModel):
    """A refund and its state."""

    model_config = ConfigDict(from_attributes=True)

    refund_id: str = Field(description="ours")
    payment_id: str
    state: str = Field(
        description="submitted: in progress; unknown: the gateway's answer was lost and is looked"
        " up; processed: done; failed: money and credit stay as they were"
    )
    amount_paise: int
    credits_taken: int = Field(
        description="with the bonus; reserved while the refund is in progress"
    )
    debt: int = Field(description="credits of them that were already spent, and are owed")


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
        answer={
            "refund_id": "5",
            "payment_id": "pay_RkXcP4mWz0sLhE",
            "state": "processed",
            "amount_paise": 200_000,
            "credits_taken": 2_300,
            "debt": 0,
        },
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
    return Refund.model_validate(
        {name: getattr(refund, name) for name in Refund.model_fields if name != "refund_id"}
        | {"refund_id": str(refund.refund_id)}
    )


def _require_in_reach(payment_id: str) -> None:
    caller = auth.caller()
    unlimited = caller.product is None and caller.account_id is None
    with transaction() as session:
        payment = queries.find(session, payment_id)
        ref = queries.find_account_ref(session, payment) if payment is not None else None
        if payment is not None and unlimited:
            return
        if ref is not None and accounts.find_in_reach(
            session, ref, product=caller.product, account_id=caller.account_id
        ):
            return
    raise Refusal(404, "no payment with this id is known", kind="unknown-payment")
