"""The page that plays Stripe's hosted Checkout: how the payment ends is the visitor's choice.

After a success it leads on to the session's `success_url`, with the id filled in as Stripe does.
"""

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as Redirect

from devstack.simulator.stripe import sessions
from devstack.simulator.stripe.errors import ApiError
from devstack.simulator.stripe.store import Entity
from devstack.simulator.world import World

OUTCOMES: dict[sessions.Outcome, str] = {
    "success": "Pay",
    "failure": "Let the card be declined",
    "late_authorization": "Pay by a method that confirms later",
    "late_failure": "Pay by a method that fails later",
}


def pages(world: World) -> Blueprint:
    """Return the routes of the page."""
    routes = Blueprint("stripe_checkout", __name__, url_prefix="/stripe/checkout")

    @routes.get("/<session_id>")
    def choose(session_id: str) -> Response:
        return _page(world, session_id)

    @routes.post("/<session_id>")
    def pay(session_id: str) -> Response | Redirect:
        session, asked = world.stripe.sessions.get(session_id), request.form.get("outcome")
        outcome = next((outcome for outcome in OUTCOMES if outcome == asked), None)
        if session is None:
            return _page(world, session_id)
        if outcome is None:
            return _page(world, session_id, problem="Choose an outcome.", status=400)
        try:
            sessions.pay(world, session, outcome)
        except ApiError as error:
            return _page(world, session_id, problem=str(error), status=error.status)
        if session["status"] == "open":
            return _page(world, session_id, problem="Your card was declined.", status=402)
        if url := success_url(session):
            return redirect(url, 303)
        return _page(world, session_id)

    return routes


def success_url(session: Entity) -> str | None:
    """Return where the customer goes after paying."""
    url: str | None = session["success_url"]
    return url and url.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _page(
    world: World, session_id: str, *, problem: str | None = None, status: int = 200
) -> Response:
    session = world.stripe.sessions.get(session_id)
    text = render_template(
        "stripe_checkout.html",
        session=session,
        success_url=session and success_url(session),
        problem=problem,
        outcomes=OUTCOMES,
        title="Stripe Checkout",
    )
    return Response(text, status if session else 404, content_type="text/html; charset=utf-8")
