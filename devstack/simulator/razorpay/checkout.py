"""The page that plays Razorpay Checkout: how the payment ends is the visitor's choice.

After a success it shows what the real one hands to the shop's page: payment id, order id and
signature, and posts them to `callback_url` if the address of the page names one.
"""

from flask import Blueprint, render_template, request

from devstack.simulator.post import is_web_address
from devstack.simulator.razorpay import attempts
from devstack.simulator.razorpay.errors import ApiError
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.world import World

OUTCOMES: dict[attempts.Outcome, str] = {
    "success": "Pay",
    "failure": "Let the payment fail",
    "late_authorization": "Let it fail now and be authorized later",
    "authorized": "Pay, and leave it authorized",
}


def pages(world: World) -> Blueprint:
    """Return the routes of the page."""
    routes = Blueprint("razorpay_checkout", __name__)

    @routes.get("/checkout/<order_id>")
    def choose(order_id: str) -> tuple[str, int]:
        return _page(world, order_id)

    @routes.post("/checkout/<order_id>")
    def pay(order_id: str) -> tuple[str, int]:
        asked, method = request.form.get("outcome"), request.form.get("method", "upi")
        outcome = next((outcome for outcome in OUTCOMES if outcome == asked), None)
        if outcome is None or method not in attempts.METHODS:
            return _page(world, order_id, problem="Choose an outcome and a method.", status=400)
        try:
            payment = attempts.pay(world, order_id=order_id, outcome=outcome, method=method)
        except ApiError as error:
            return _page(world, order_id, problem=str(error), status=error.status)
        return _page(world, order_id, payment=payment)

    return routes


def _page(
    world: World,
    order_id: str,
    *,
    payment: Entity | None = None,
    problem: str | None = None,
    status: int = 200,
) -> tuple[str, int]:
    order = world.razorpay.orders.get(order_id)
    succeeded = payment is not None and payment["status"] in {"authorized", "captured", "refunded"}
    text = render_template(
        "razorpay_checkout.html",
        order=order,
        payment=payment,
        problem=problem,
        signature=attempts.signature(world, payment) if payment and succeeded else None,
        callback_url=_callback_url(),
        outcomes=OUTCOMES,
        methods=attempts.METHODS,
        title="Razorpay Checkout",
    )
    return text, status if order else 404


def _callback_url() -> str | None:
    """Return where the shop wants the result; only web addresses, for it becomes a form's."""
    url = request.args.get("callback_url", "")
    return url if is_web_address(url) else None
