"""Every route of the API is reached by a method of the client, and no method asks for another."""

import re
from contextlib import suppress
from typing import Any

import pytest

from api import app as api_app
from billing_client import BillingError
from tests.billing_client.drivers import driving
from tests.billing_client.jobs import JOBS, Job, ids
from tests.billing_client.scripted_server import Asked, Reply, ScriptedServer
from tests.billing_client.world import Things
from tests.conftest import LEAD_SECRET

BESIDE_THE_API = {("POST", "/webhooks/leads")}
"""What the receiver takes."""
FOUND_NOTHING = Reply(
    404, {"type": "urn:problem-type:billing:unknown-account", "detail": "no account is known"}
)


@pytest.fixture(scope="module")
def operations() -> set[tuple[str, str]]:
    """(method, path template) of each operation in the document of the real API."""
    document: Any = api_app.create_app().test_client().get("/openapi.json").get_json(force=True)
    return {
        (method.upper(), path)
        for path, of_path in document["paths"].items()
        for method in of_path
        if method in {"get", "post", "put", "patch", "delete"}
    }


def asked(job: Job) -> list[Asked]:
    """What a job asks for, if nothing is known to the server."""
    with (
        ScriptedServer(FOUND_NOTHING) as server,
        driving(
            "sync", base_url=server.url, api_key="k-1", webhook_secret=LEAD_SECRET, retries=0
        ) as client,
    ):
        with suppress(BillingError):
            job.ask(client, Things())
        return server.asked


def template_of(method: str, path: str, templates: set[tuple[str, str]]) -> tuple[str, str]:
    """The operation that a request is for; one without braces before one with them."""
    for known in sorted(templates, key=lambda one: one[1].count("{")):
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(known[1]))
        if known[0] == method and re.fullmatch(pattern, path):
            return known
    raise AssertionError(f"the API has no {method} {path}")


def test_the_routes_are_those_of_the_methods(operations: set[tuple[str, str]]) -> None:
    reached = {
        template_of(one.method, one.path.partition("?")[0], operations | BESIDE_THE_API)
        for job in JOBS
        for one in asked(job)
    }
    assert reached - BESIDE_THE_API == operations
    assert reached >= BESIDE_THE_API


@pytest.mark.parametrize("job", JOBS, ids=ids(JOBS))
def test_what_is_asked_says_who_asks_and_once(job: Job) -> None:
    requests = asked(job)
    assert requests
    for one in requests:
        assert one.headers["user-agent"].startswith("credit-billing-client/")
        signed = "webhook-signature" in one.headers
        assert signed or one.headers["authorization"] == "Bearer k-1"
        named = one.headers.get("idempotency-key") or one.headers.get("webhook-id")
        assert bool(named) == (one.method == "POST")
