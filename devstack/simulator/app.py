"""The Flask app: both gateways, their checkout pages and the control endpoints."""

from flask import Flask, Response
from flask.typing import ResponseReturnValue

from devstack.simulator import control, home
from devstack.simulator.razorpay import checkout as razorpay_checkout
from devstack.simulator.razorpay import checkout_frame as razorpay_checkout_frame
from devstack.simulator.razorpay import routes as razorpay_routes
from devstack.simulator.stripe import checkout as stripe_checkout
from devstack.simulator.stripe import routes as stripe_routes
from devstack.simulator.world import World


class SimulatorApp(Flask):
    """A Flask app whose views run one at a time."""

    world: World

    def dispatch_request(self) -> ResponseReturnValue:
        """Carry the request out under the lock of the world; faults and waits are outside."""
        with self.world.lock:
            return super().dispatch_request()


def create_app(world: World) -> Flask:
    """Return the app of one world."""
    app = SimulatorApp(__name__)
    app.world = world
    app.register_blueprint(home.pages(world))
    app.register_blueprint(razorpay_checkout.pages(world))
    app.register_blueprint(razorpay_checkout_frame.pages(world))
    app.register_blueprint(stripe_checkout.pages(world))
    app.register_blueprint(razorpay_routes.api(world), url_prefix="/v1")
    app.register_blueprint(stripe_routes.api(world), url_prefix="/stripe/v1")
    app.register_blueprint(control.endpoints(world), url_prefix="/simulator")

    @app.after_request
    def label(response: Response) -> Response:
        response.headers["X-Simulator"] = "razorpay, stripe"
        return response

    return app
