"""The first page: what there is, and where to go."""

from flask import Blueprint, render_template, request

from devstack.simulator.world import World

SHOWN = 20


def pages(world: World) -> Blueprint:
    """Return the route of the page."""
    routes = Blueprint("home", __name__)

    @routes.get("/")
    def home() -> str:
        return render_template(
            "home.html",
            title="Razorpay and Stripe",
            url=request.host_url.rstrip("/"),
            orders=list(world.razorpay.orders.values())[: -SHOWN - 1 : -1],
            sessions=list(world.stripe.sessions.values())[: -SHOWN - 1 : -1],
            deliveries=world.courier.deliveries[: -SHOWN - 1 : -1],
            switches=world.switches.model_dump(),
        )

    return routes
