"""`/v1/payments/verify`: what the customer's browser brings back, checked at the gateway."""

from http import HTTPMethod

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, gateway_refusals, idempotency
from api.fields import Id
from api.problems import Refusal
from api.routes import route
from billing import accounts
from billing.payments import orders
from db.session import transaction
from tasks.payments import browser_reports

payments = APIBlueprint("payments", __name__, url_prefix="/v1", abp_tags=[Tag(name="payments")])

FINAL = ("captured", "partially_refunded", "refunded")
"""States that nothing but a refund leads out of: the answer is kept under its Idempotency-Key.
Money that is quarantined may still be given to the account by an operator."""


class CheckoutResult(BaseModel):
    """What the gateway's checkout handed to the browser."""

    model_config = ConfigDict(strict=True, extra="forbid")

    order_id: Id = Field(description="the gateway's, as POST /v1/orders answered it")
    payment_id: Id | None = Field(
        default=None, description="razorpay_payment_id; nothing for Stripe"
    )
    signature: str | None = Field(
        default=None, max_length=500, description="razorpay_signature; nothing for Stripe"
    )


class VerifiedPayment(BaseModel):
    """What is known of the payment by now."""

    order_id: str
    payment_id: str | None = Field(description="the gateway's; null while nothing was paid")
    account: str
    state: str = Field(
        description="created and authorized: ask again soon; failed: the customer may try again,"
        " and this attempt may still turn out well; captured: credited; quarantined: the money"
        " came and is not what was ordered"
    )
    credits_added: int = Field(description="what the payment brought, with its bonus")


@route(payments, HTTPMethod.POST, "/payments/verify", scope="orders:write",
       answers=VerifiedPayment, refusals=(404,))  # fmt: skip
def verify(body: CheckoutResult) -> VerifiedPayment:
    """Find out what became of a payment, and credit it if the money is there.

    Credit never depends on this call: the gateway's webhook brings it too, and only one of both
    does. An answer that is not final is not kept: repeat the call to hear more.
    """
    account = _account_of(body.order_id)
    with gateway_refusals.told():
        found = browser_reports.verify_payment(
            gateway_order_id=body.order_id,
            payment_id=body.payment_id,
            signature=body.signature,
            actor=auth.caller().actor,
        )
    if found.state not in FINAL:
        idempotency.not_final()
    return VerifiedPayment(
        order_id=body.order_id,
        payment_id=found.payment_id,
        account=account,
        state=found.state,
        credits_added=found.credits_added,
    )


def _account_of(order_id: str) -> str:
    caller = auth.caller()
    with transaction() as session:
        found = orders.find_with_account(session, order_id)
        if found is not None and accounts.find_in_reach(
            session, found[1].ref, product=caller.product, account_id=caller.account_id
        ):
            return found[1].ref
    raise Refusal(404, "no order of this id is known", kind="unknown-order")
