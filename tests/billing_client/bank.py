"""The real API as platforms see it: through a network, with a key, and its books to look at."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

import clock
from billing import audit
from billing.credit import hold_expiry
from billing_client import BillingClient
from db.session import transaction
from devstack import ports
from tests.api.api_process import ApiProcess
from tests.billing.given import assert_ledger_is_clean, balance, open_account, rows
from tests.billing_client.lossy_proxy import LossyProxy
from tests.server_process import Answer
from tests.stack_process import eventually

API_KEY = "the-platforms-key-of-the-tests"
OPENING = 1_000


@dataclass
class Bank:
    """One API, the way to it, and one account of the test's own."""

    api: ApiProcess
    proxy: LossyProxy
    client: BillingClient
    account: str

    def another_account(self, credits_: int = OPENING) -> str:
        """One more account, with credit."""
        return open_account(f"{self.account}-other", credits_=credits_)

    def balance(self, account: str | None = None) -> int:
        """What an account has."""
        return balance(account or self.account)

    def holds(self, account: str | None = None) -> Sequence[tuple[object, ...]]:
        """(state, amount, captured) of an account's holds, oldest first."""
        return rows(
            "SELECT CASE WHEN h.state = 'open' AND h.expires_at <= :now THEN 'expired'"
            " ELSE h.state END, h.amount, h.captured FROM holds h JOIN accounts a"
            " ON a.id = h.account_id WHERE a.ref = :ref ORDER BY h.id",
            ref=account or self.account,
            now=clock.now(),
        )

    def assert_captured_after_expiry(self) -> None:
        """The hold of a second ran out, and a later one was captured: the next, if none stalls."""
        *ended, last = [hold[0] for hold in self.holds()]
        assert (set(ended), last) == ({"expired"}, "captured")

    def wait_for_expiry(self) -> None:
        """Wait until the time of every hold is up, and sweep, as the back office does."""
        eventually("no hold is open", lambda: "open" not in {state for state, *_ in self.holds()})
        with audit.asked_by("test", door="beat"), transaction() as session:
            hold_expiry.expire_due(session)

    def check(self) -> None:
        """The books are right, and the API kept its secrets and its calm."""
        assert_ledger_is_clean()
        assert "Traceback" not in self.api.log
        assert API_KEY not in self.api.log


def client_of(url: str, **options: Any) -> BillingClient:
    return BillingClient(api_url=url, api_key=API_KEY, **{"retries": 1, **options})


@dataclass
class Platform:
    """A Flask app of a platform, over HTTP."""

    port: int

    def post(
        self,
        path: str = "/work",
        *,
        once: str | None = None,
        body: bytes = b"{}",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for work, under an Idempotency-Key or none."""
        sent = {"content-type": "application/json", **(headers or {})}
        if once is not None:
            sent["idempotency-key"] = once
        connection = http.client.HTTPConnection(ports.HOST, self.port, timeout=60)
        try:
            connection.request("POST", path, body, sent)
            answer = connection.getresponse()
            shown = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, shown, answer.read())
        finally:
            connection.close()


@contextmanager
def serving(app: Flask) -> Iterator[Platform]:
    """Serve a Flask app for the block, each request in a thread."""
    server = make_server(ports.HOST, 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Platform(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def selling(
    view: Callable[..., Any], *, path: str = "/work", methods: Sequence[str] = ("POST",)
) -> Iterator[Platform]:
    """Serve one view."""
    app = Flask("platform")
    app.add_url_rule(path, view_func=view, methods=list(methods), endpoint="work")
    with serving(app) as platform:
        yield platform


def problem(answer: Answer) -> dict[str, Any]:
    """The problem of a refusal, which must be one in full."""
    assert answer.headers["content-type"] == "application/problem+json"
    shown: dict[str, Any] = json.loads(answer.body)
    assert shown["status"] == answer.status
    assert {"type", "title", "detail"} <= shown.keys()
    return shown
