"""`/v1/orders`: buy credit or a plan, and see what became of it.

The steps are in `tasks/payments/checkout.py`.
"""

from datetime import datetime
from http import HTTPMethod
from typing import Annotated, Literal
from urllib.parse import urlsplit

from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api import auth, idempotency
from api.examples import UNKNOWN_ACCOUNT_IN_BODY, Example, Refused
from api.fields import Id, Ref
from api.problems import bad_field, unknown
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
        raise ValueError("must be ASCII; percent-encode other characters")
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("must be a URL such as https://clinic.example/credits")
    return value


class OrderPath(BaseModel):
    """The order."""

    order_id: Id = Field(description="the gateway's id, from the answer of POST /v1/orders")


class NewOrder(BaseModel):
    """An order: exactly one of package, amount_paise and plan."""

    model_config = ConfigDict(strict=True, extra="forbid")

    account: Ref
    gateway: GatewayName
    package: str | None = Field(
        default=None, description="a package of the catalog, such as credits_5000"
    )
    amount_paise: int | None = Field(
        default=None, description="any amount within `free_amounts` of the catalog"
    )
    plan: str | None = Field(
        default=None, description="a plan of the catalog, such as pharmapulse_one"
    )
    return_url: Annotated[str, AfterValidator(_web_address)] | None = Field(
        default=None,
        max_length=1_000,
        description="the page to which the customer returns; required for Stripe",
    )


class Order(BaseModel):
    """An order that is paid at the gateway's checkout."""

    model_config = ConfigDict(from_attributes=True)

    order_id: str | None = Field(description="the gateway's id, which opens its checkout")
    gateway: GatewayName
    account: str
    key_id: str = Field(
        validation_alias="public_key", description="for Razorpay's checkout; empty for Stripe"
    )
    amount_paise: int
    currency: str
    credits: int = Field(description="what it brings, without the bonus; zero for a plan")
    bonus_credits: int
    state: Literal["open", "paid", "expired"]
    checkout_url: str | None = Field(description="Stripe's page to send the customer to")
    package: str | None = Field(description="as it was ordered; null if by amount or for a plan")
    plan: str | None
    payment_id: str | None = Field(
        description="the gateway's, of the payment that paid it; null until then"
    )
    created_at: datetime


_OPEN = {
    "order_id": "order_RkXb1yQ2vT8aNd",
    "gateway": "razorpay",
    "account": "clinic:42",
    "key_id": "rzp_test_tests",
    "amount_paise": 1_000_000,
    "currency": "INR",
    "credits": 10_000,
    "bonus_credits": 1_500,
    "state": "open",
    "checkout_url": None,
    "package": "credits_10000",
    "plan": None,
    "payment_id": None,
    "created_at": "2026-11-21T04:00:00Z",
}


@route(
    orders,
    HTTPMethod.POST,
    "/orders",
    scope="orders:write",
    answers=Order,
    status=201,
    refusals=(404,),
    asks_gateway=True,
    example=Example(
        body={"account": "clinic:42", "gateway": "razorpay", "package": "credits_10000"},
        answer=_OPEN,
        refused=(UNKNOWN_ACCOUNT_IN_BODY,),
    ),
)
def create(body: NewOrder) -> Order:
    """Open an order at a gateway.

    The credit comes when the order is paid, whether or not the customer's browser returns. After a
    503 the order may or may not exist: a repeat with the same Idempotency-Key finds out.
    """
    if body.gateway == "stripe" and body.return_url is None:
        raise bad_field("return_url", "is required for Stripe, whose page sends the customer back")
    with transaction() as session:
        auth.account_in_reach(session, body.account)
    placed = checkout.place_order(
        OrderRequest(**body.model_dump()),
        actor=auth.caller().actor,
        operation_key=idempotency.operation_key(),
    )
    return Order.model_validate(placed)


@route(
    orders,
    HTTPMethod.GET,
    "/orders/<order_id>",
    scope="orders:read",
    answers=Order,
    refusals=(404,),
    example=Example(
        path={"order_id": "order_RkXb1yQ2vT8aNd"},
        answer={**_OPEN, "state": "paid", "payment_id": "pay_RkXcP4mWz0sLhE"},
        refused=(
            Refused(
                404,
                "unknown-order",
                "no order with this id is known",
                path={"order_id": "order_RkXd8uE5fJ3gKp"},
            ),
        ),
    ),
)
def show(path: OrderPath) -> Order:
    """Show an order, and the payment that paid it.

    It is what is on record: the gateway is not asked. `POST /v1/payments/verify` asks it.
    """
    caller = auth.caller()
    with transaction() as session:
        found = checkout.find_order(
            session, path.order_id, product=caller.product, account_id=caller.account_id
        )
    if found is None:
        raise unknown("order")
    return Order.model_validate(found)
