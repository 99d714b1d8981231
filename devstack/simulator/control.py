"""The control endpoints below `/simulator`, for curl and tests: JSON in, JSON out.

They make happen what only customers, banks and time can: a payment, a dispute, a late yes. They
ask for no key, for the simulator listens on the loopback address.
"""

from typing import Any

from flask import Blueprint, Response, request

from devstack.simulator import control_bodies as read
from devstack.simulator.answers import answer
from devstack.simulator.control_bodies import ControlError
from devstack.simulator.control_payments import add_payments
from devstack.simulator.razorpay.errors import ApiError as RazorpayError
from devstack.simulator.razorpay.events import require_old_secret
from devstack.simulator.stripe.errors import ApiError as StripeError
from devstack.simulator.switches import SwitchError
from devstack.simulator.world import World


def endpoints(world: World) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("control", __name__)

    @routes.errorhandler(RazorpayError)
    @routes.errorhandler(StripeError)
    @routes.errorhandler(SwitchError)
    @routes.errorhandler(ControlError)
    def refused(error: Exception) -> Response:
        return answer({"error": str(error)}, getattr(error, "status", 400))

    _add_settings(routes, world)
    add_payments(routes, world)
    return routes


def _add_settings(routes: Blueprint, world: World) -> None:
    @routes.get("/switches")
    def show_switches() -> Response:
        return answer(world.switches.model_dump())

    @routes.route("/switches", methods=["PATCH", "POST"])
    def change_switches() -> Response:
        changes = read.body()
        require_old_secret(world, changes)
        world.switches = world.switches.changed(changes)
        return answer(world.switches.model_dump())

    @routes.delete("/switches")
    def restore_switches() -> Response:
        world.switches = world.config.switches
        return answer(world.switches.model_dump())

    @routes.get("/webhooks")
    def show_webhooks() -> Response:
        return answer(_webhooks(world))

    @routes.post("/webhooks")
    def set_webhooks() -> Response:
        given = read.body("razorpay", "stripe")
        if "razorpay" in given:
            world.razorpay_webhook_urls = read.urls(given, "razorpay")
        if "stripe" in given:
            world.stripe_webhook_urls = read.urls(given, "stripe")
        world.courier.enable()
        return answer(_webhooks(world))

    @routes.get("/deliveries")
    def show_deliveries() -> Response:
        found = world.courier.deliveries
        asked = {name: request.args[name] for name in ("state", "gateway", "event", "event_id")
                 if name in request.args}  # fmt: skip
        shown = [d for d in found if all(d[name] == value for name, value in asked.items())]
        waiting = sum(d["state"] == "waiting" for d in found)
        return answer({"count": len(shown), "waiting": waiting, "items": shown})

    @routes.post("/reset")
    def reset() -> Response:
        seed = read.number(read.body("seed"), "seed", default=world.chance.seed)
        world.reset(seed)
        return answer({"seed": seed})


def _webhooks(world: World) -> dict[str, Any]:
    return {
        "razorpay": list(world.razorpay_webhook_urls),
        "stripe": list(world.stripe_webhook_urls),
    }
