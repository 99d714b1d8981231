"""`/v1/orders`: buying credit or a plan. The rules are in `tasks/payments/checkout.py`."""

from http import HTTPMethod
from typing import Annotated
from urllib.parse import urlsplit

from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api import auth, gateway_refusals, idempotency
from api.fields import Ref
from api.problems import bad_field
from api.routes import route
from billing.payments import GatewayName, OrderRequest
from db.session import transaction
from tasks.payments import checkout

orders = APIBlueprint("orders", __name__, url_prefix="/v1", abp_tags=[Tag(name="orders")])


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise ValueError("must be ASCII, other characters percent-encoded")
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("must be an address such as https://clinic.example/credits")
    return value


class NewOrder(BaseModel):
    """What is to be bought: exactly one of package, amount_paise and plan."""

    model_config = ConfigDict(strict=True, extra="forbid")

    account: Ref
    gateway: GatewayName
    package: str | None = Field(default=None, description="such as credits_5000")
    amount_paise: int | None = Field(default=None, description="any amount from Rs 1,000 on")
    plan: str | None = Field(default=None, description="pharmapulse_one or plan_renewal")
    return_url: Annotated[str, AfterValidator(_web_address)] | None = Field(
        default=None,
        max_length=1_000,
        description="where the customer comes back to; needed for Stripe",
    )


class Order(BaseModel):
    """An order to be paid at the gateway's checkout."""

    model_config = ConfigDict(from_attributes=True)

    order_id: str | None = Field(description="the gateway's: what its checkout is opened with")
    gateway: str
    account: str
    key_id: str = Field(
        validation_alias="public_key", description="for Razorpay's checkout; empty for Stripe"
    )
    amount_paise: int
    currency: str
    credits: int = Field(description="what it brings, without the bonus; nought for a plan")
    bonus_credits: int
    state: str = Field(description="open, paid or expired")
    checkout_url: str | None = Field(description="Stripe's page to send the customer to")


@route(orders, HTTPMethod.POST, "/orders", scope="orders:write", answers=Order, status=201,
       refusals=(404,))  # fmt: skip
def create(body: NewOrder) -> Order:
    """Open an order at a gateway.

    Its credit comes when it is paid, whether or not the customer's browser comes back. A 503
    leaves open whether the order was made: with the same Idempotency-Key it is looked up.
    """
    if body.gateway == "stripe" and body.return_url is None:
        raise bad_field("return_url", "is needed for Stripe, whose page sends the customer back")
    with transaction() as session:
        auth.account_in_reach(session, body.account)
    with gateway_refusals.told():
        placed = checkout.place_order(
            OrderRequest(**body.model_dump()),
            actor=auth.caller().actor,
            operation_key=idempotency.operation_key(),
        )
    return Order.model_validate(placed)
