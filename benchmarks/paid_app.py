"""A platform's Flask app with the same view twice: as it is, and under `require_credits`."""

import os
from http import HTTPMethod

from flask import Flask, Response, request

from billing_client import BillingClient, credits_used, require_credits

PRICE, USED = 5, 3
"""Credits: more is held than is charged, as with work whose size is known only afterwards."""


def create_app() -> Flask:
    """Return the app; it finds the API by BENCH_API_URL and BENCH_API_KEY."""
    app = Flask(__name__)
    client = BillingClient(api_url=os.environ["BENCH_API_URL"], api_key=os.environ["BENCH_API_KEY"])
    paid = require_credits(
        PRICE, client=client, account=lambda: request.headers["x-account"], description="benchmark"
    )
    for name, view in (("plain", _view), ("paid", paid(_paid_view))):
        app.add_url_rule(f"/{name}", name, view, methods=[HTTPMethod.POST])
    app.add_url_rule("/healthz", "healthz", _view)
    return app


def _view() -> Response:
    return Response("{}", 200, content_type="application/json")


def _paid_view() -> Response:
    credits_used(USED)
    return _view()
