"""`/v1/checkout.js`, as Razorpay's checkout.razorpay.com serves it, and the page in its frame.

The script is what a shop's page loads; the frame is of the simulator's own origin and asks the two
routes here. A refusal is Razorpay's error, without its HTTP status: the frame shows it, and hands
it to the shop's `payment.failed`. Unlike the control endpoint, Checkout never takes money on an
order that is paid already, whatever the switch `second_payment` says.
"""

import hmac
from typing import Any

from flask import Blueprint, Response, current_app, render_template

from devstack.simulator import control_bodies as read
from devstack.simulator.answers import answer
from devstack.simulator.control_bodies import ControlError
from devstack.simulator.razorpay import attempts
from devstack.simulator.razorpay.errors import ApiError, unknown_id
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World

METHODS = {"upi": "UPI", "card": "Card", "netbanking": "Netbanking", "wallet": "Wallet"}
OUTCOMES = ("success", "failure", "late_authorization", "authorized")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'"
)
"""Of the frame. Whoever has the key may frame it, as at Razorpay."""
OTHER_AMOUNT = (
    "Your payment amount is different from your order amount."
    " To pay successfully, please try using right amount."
)


def pages(world: World) -> Blueprint:
    """Return the routes of the script and of its frame."""
    routes = Blueprint("razorpay_checkout_frame", __name__)

    @routes.get("/v1/checkout.js")
    def script() -> Response:
        response = current_app.send_static_file("checkout.js")
        response.headers["Cache-Control"] = "no-cache"
        return response

    @routes.get("/checkout-frame")
    def frame() -> tuple[str, dict[str, str]]:
        page = render_template("razorpay_frame.html", methods=METHODS)
        return page, {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}

    @routes.post("/checkout-frame/orders")
    def show_order() -> Response:
        order = _payable(world, read.body())
        return answer({"order": {name: order[name] for name in ("id", "amount", "currency")}})

    @routes.post("/checkout-frame/payments")
    def pay() -> Response:
        given = read.body()
        order = _payable(world, given)
        outcome = read.choice(given, "outcome", OUTCOMES)
        method = read.choice(given, "method", attempts.METHODS)
        customer = {name: str(given[name]) for name in ("contact", "email") if given.get(name)}
        payment = attempts.pay(
            world, order_id=order["id"], outcome=outcome, method=method, customer=customer
        )
        if payment["status"] not in {"authorized", "captured"}:
            raise _failure(payment)
        return answer({"payment": {
            "razorpay_payment_id": payment["id"],
            "razorpay_order_id": payment["order_id"],
            "razorpay_signature": attempts.signature(world, payment),
        }})  # fmt: skip

    @routes.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        return answer(error.body)

    @routes.errorhandler(ControlError)
    def not_understood(error: ControlError) -> Response:
        return answer(ApiError(str(error)).body)

    return routes


def _payable(world: World, given: dict[str, Any]) -> Entity:
    """Return the order that a shop's options name; raises `ApiError` unless it can be paid."""
    key = str(given.get("key_id") or "")
    if not hmac.compare_digest(key.encode(), world.config.razorpay_key_id.encode()):
        raise ApiError("The api key provided is invalid", reason="NA", source="NA", step="NA")
    order_id = given.get("order_id")
    if not isinstance(order_id, str):
        raise ApiError("The order id field is required.", field="order_id")
    order = world.razorpay.orders.get(order_id)
    if order is None:
        raise unknown_id(order_id, "order")
    if order["status"] == "paid":
        raise ApiError("Payment already done for this order.", metadata={"order_id": order_id})
    amount, currency = given.get("amount"), given.get("currency")
    if amount is not None and str(amount) != str(order["amount"]):
        raise ApiError(OTHER_AMOUNT, field="amount")
    if currency is not None and currency != order["currency"]:
        raise ApiError("Payment currency does not match the order's currency.", field="currency")
    return order


def _failure(payment: Entity) -> ApiError:
    return ApiError(
        payment["error_description"] or "Payment failed",
        code=payment["error_code"] or "BAD_REQUEST_ERROR",
        source=payment["error_source"] or "business",
        step=payment["error_step"] or "payment_authorization",
        reason=payment["error_reason"] or "payment_failed",
        metadata={"payment_id": payment["id"], "order_id": payment["order_id"]},
    )
