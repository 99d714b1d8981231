"""The yardstick of the receiver: the same server and framework, and a view that does nothing."""

from flask import Flask, Response

from service.asgi import Adapter, Door
from service.http_messages import Answer, Environ, HeaderRules, Refused, answer_of, plain_answer


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


def create_server() -> Adapter:
    """Return the app behind the receiver's door."""
    app = create_app()

    async def call(environ: Environ) -> Answer:
        return answer_of(app, environ)

    def refuse(refused: Refused, _path: str) -> Answer:
        return plain_answer(refused.status)

    return Adapter(Door(call, refuse, max_body_bytes=1024 * 1024, headers=HeaderRules()))
