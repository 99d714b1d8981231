"""`/v1/payments/verify`: a browser's report of a payment, checked with the gateway."""

from http import HTTPMethod

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, idempotency
from api.examples import Example, Refused
from api.fields import Id
from api.problems import Refusal
from api.routes import route
from billing import accounts
from billing.payments import orders
from db.session import transaction
from tasks.payments import browser_reports

payments = APIBlueprint("payments", __name__, url_prefix="/v1", abp_tags=[Tag(name="payments")])

FINAL = ("captured", "partially_refunded", "refunded")
"""States that only a refund changes: the answer is stored under its Idempotency-Key. A quarantined
payment is not among them: an operator may still attach it to the account."""


class CheckoutResult(BaseModel):
    """What the gateway's checkout gave to the browser."""

    model_config = ConfigDict(strict=True, extra="forbid")

    order_id: Id = Field(description="the gateway's, from the answer of POST /v1/orders")
    payment_id: Id | None = Field(
        default=None, description="razorpay_payment_id; not used for Stripe"
    )
    signature: str | None = Field(
        default=None, max_length=500, description="razorpay_signature; not used for Stripe"
    )


class VerifiedPayment(BaseModel):
    """The payment as it is known now."""

    order_id: str
    payment_id: str | None = Field(description="the gateway's; null until something is paid")
    account: str
    state: str = Field(
        description="created and authorized: ask again soon; failed: the customer may try again,"
        " and this attempt may still succeed; captured: credited; quarantined: the money arrived"
        " but does not match the order"
    )
    credits_added: int = Field(description="what the payment brought, with its bonus")


@route(
    payments,
    HTTPMethod.POST,
    "/payments/verify",
    scope="orders:write",
    answers=VerifiedPayment,
    refusals=(404,),
    asks_gateway=True,
    example=Example(
        body={
            "order_id": "order_RkXb1yQ2vT8aNd",
            "payment_id": "pay_RkXcP4mWz0sLhE",
            "signature": "5d1c0f0a4e9b7c2f8a6e3d5b1f0c9a8e7d6b5c4f3e2a1b0c9d8e7f6a5b4c3d2e",
        },
        answer={
            "order_id": "order_RkXb1yQ2vT8aNd",
            "payment_id": "pay_RkXcP4mWz0sLhE",
            "account": "clinic:42",
            "state": "captured",
            "credits_added": 11_500,
        },
        refused=(
            Refused(
                404,
                "unknown-order",
                "no order with this id is known",
                body={"order_id": "order_RkXd8uE5fJ3gKp"},
            ),
        ),
    ),
)
def verify(body: CheckoutResult) -> VerifiedPayment:
    """Ask the gateway about a payment, and credit it if the money is there.

    Credit does not depend on this call: the gateway's webhook brings it too, and it is credited
    once. An answer that is not final is not stored: repeat the call for a newer one.
    """
    account = _account_of(body.order_id)
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
    raise Refusal(404, "no order with this id is known", kind="unknown-order")
