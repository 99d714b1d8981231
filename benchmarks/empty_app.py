"""The yardstick of the receiver: the same server and framework, and a view that does nothing."""

from flask import Flask, Response


def create_app() -> Flask:
    """Return an app that answers a delivery without looking at it."""
    app = Flask(__name__)

    @app.post("/webhooks/leads")
    @app.post("/webhooks/razorpay")
    def webhook() -> Response:
        return Response("{}", 202, content_type="application/json")

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("{}", 200, content_type="application/json")

    return app
