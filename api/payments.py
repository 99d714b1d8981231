"""`/v1/payments`: a payment on record, and a browser's report of one, checked with the gateway."""

from collections.abc import Sequence
from http import HTTPMethod
from typing import Self

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, idempotency
from api.account_lists import Payment
from api.examples import Example, Refused
from api.fields import Id
from api.problems import unknown
from api.refunds import PROCESSED, Refund
from api.routes import route
from billing.payments import GatewayName, order_queries, queries
from billing.payments.queries import State
from billing.returns import refunds as refund_rules
from db import models
from db.session import transaction
from tasks.payments import browser_reports
from tasks.returns.submission import RefundStanding

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
    state: State = Field(
        description="created and authorized: ask again soon; failed: the customer may try again,"
        " and this attempt may still succeed; captured: credited; quarantined: the money arrived"
        " but does not match the order"
    )
    credits_added: int = Field(description="what the payment brought, with its bonus")


class PaymentPath(BaseModel):
    """The payment."""

    payment_id: Id = Field(description="the gateway's id")


class GatewayQuery(BaseModel):
    """Which gateway is meant."""

    model_config = ConfigDict(extra="forbid")

    gateway: GatewayName | None = Field(
        default=None, description="needed only if two gateways have a payment with this id"
    )


class PaymentWithRefunds(Payment):
    """A payment with its account and its refunds."""

    account: str | None = Field(description="null while it is of no order or account that is known")
    refunds: list[Refund] = Field(description="oldest first, also those made at the gateway")

    @classmethod
    def of(cls, row: models.Payment, account: str | None, made: Sequence[models.Refund]) -> Self:
        """Return the answer for a payment's row, with its account and its refunds."""
        columns = [field.validation_alias or name for name, field in Payment.model_fields.items()]
        return cls.model_validate(
            {
                **{str(column): getattr(row, str(column)) for column in columns},
                "account": account,
                "refunds": [Refund.of(RefundStanding.of(one, row, account)) for one in made],
            }
        )


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


@route(
    payments,
    HTTPMethod.GET,
    "/payments/<payment_id>",
    scope="payments:read",
    answers=PaymentWithRefunds,
    refusals=(404, 409),
    example=Example(
        path={"payment_id": "pay_RkXcP4mWz0sLhE"},
        answer={
            "payment_id": "pay_RkXcP4mWz0sLhE",
            "gateway": "razorpay",
            "order_id": "order_RkXb1yQ2vT8aNd",
            "state": "partially_refunded",
            "reason": None,
            "amount_paise": 1_000_000,
            "currency": "INR",
            "refunded_paise": 200_000,
            "credits": 10_000,
            "bonus_credits": 1_500,
            "method": "upi",
            "created_at": "2026-11-21T04:05:00Z",
            "credited_at": "2026-11-21T04:05:01Z",
            "account": "clinic:42",
            "refunds": [PROCESSED],
        },
        refused=(
            Refused(
                404,
                "unknown-payment",
                "no payment with this id is known",
                path={"payment_id": "pay_RkXe2wH6yB9cMq"},
            ),
        ),
    ),
)
def show(path: PaymentPath, query: GatewayQuery) -> PaymentWithRefunds:
    """Show a payment with its refunds.

    It is what is on record: the gateway is not asked. A payment of no account that is known is
    shown only to keys that reach all accounts.
    """
    caller = auth.caller()
    with transaction() as session:
        found = queries.find_in_reach(
            session,
            path.payment_id,
            product=caller.product,
            account_id=caller.account_id,
            gateway=query.gateway,
        )
        if found is None:
            raise unknown("payment")
        payment, account = found
        return PaymentWithRefunds.of(payment, account, refund_rules.of_payment(session, payment))


def _account_of(order_id: str) -> str:
    caller = auth.caller()
    with transaction() as session:
        found = order_queries.find_in_reach(
            session, order_id, product=caller.product, account_id=caller.account_id
        )
    if found is not None:
        return found[1]
    raise unknown("order")
