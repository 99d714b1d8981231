"""The simulator over real HTTP, our clients before it, and a door with scripted answers."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from devstack.simulator.config import Config
from devstack.simulator.server import Running, running
from gateways.protocol import NewOrder
from gateways.razorpay.client import RazorpayGateway
from gateways.stripe.client import StripeGateway

KEY_ID, KEY_SECRET = "rzp_test_tests", "tests_key_secret"
STRIPE_KEY = "sk_test_tests"
PATIENCE = (1.0, 5.0)
HASTE = (1.0, 0.2)
"""Seconds to connect and to read."""


class Sim:
    """A simulator, as its control endpoints show it."""

    def __init__(self, running: Running) -> None:
        self.url, self.stripe_url, self.world = running.url, running.stripe_url, running.world

    def set(self, **switches: object) -> None:
        """Change switches."""
        with self.world.lock:
            self.world.switches = self.world.switches.changed(switches)

    def pay(self, order_id: str, outcome: str = "success") -> Any:
        """Play a customer of either gateway; return what Checkout hands over."""
        name = "order_id" if order_id.startswith("order_") else "session_id"
        return self.post("/simulator/pay", {name: order_id, "outcome": outcome})

    def refund(self, payment_id: str, **body: object) -> None:
        """Refund a payment of Razorpay, wholly if no amount is given."""
        self.post(f"/v1/payments/{payment_id}/refund", body, (KEY_ID, KEY_SECRET))

    def refund_at_stripe(self, intent: str, amount: int) -> None:
        """Refund a part of a payment of Stripe."""
        body = {"payment_intent": intent, "amount": amount}
        with requests.post(
            f"{self.stripe_url}/v1/refunds", data=body, auth=(STRIPE_KEY, ""), timeout=30
        ) as answer:
            assert answer.status_code == 200, answer.text

    def expire(self, session_id: str) -> None:
        """End a Checkout Session."""
        self.post(f"/stripe/v1/checkout/sessions/{session_id}/expire", None, (STRIPE_KEY, ""))

    def post(self, path: str, body: Any, auth: tuple[str, str] | None = None) -> Any:
        answer = requests.post(self.url + path, json=body, auth=auth, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def sim() -> Iterator[Sim]:
    config = Config(
        port=0, seed=7, razorpay_key_id=KEY_ID, razorpay_key_secret=KEY_SECRET,
        stripe_api_key=STRIPE_KEY,
    )  # fmt: skip
    with running(config) as it:
        yield Sim(it)


@dataclass
class Door:
    """Answers each request with `answer(method, path with query, body)`: status and body."""

    url: str = ""
    answer: Callable[[str, str, Any], tuple[int, object]] = lambda *_: (500, "")
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def says(self, status: int, body: object) -> None:
        """Answer everything alike; text as it is, all else as JSON."""
        self.answer = lambda *_: (status, body)


@pytest.fixture
def door() -> Iterator[Door]:
    with listening() as it:
        yield it


@contextmanager
def listening() -> Iterator[Door]:
    """A door that answers until the block ends."""
    it = Door()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            body = json.loads(sent) if sent.startswith("{") else sent
            it.asked.append((self.command, self.path, body))
            status, content = it.answer(self.command, self.path, body)
            raw = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Set-Cookie", "a=b")
            self.send_header("Content-Length", str(len(raw) or 100))  # nothing: it breaks off
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield it
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(autouse=True)
def silence(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing but log lines is written to the standard output: the razorpay SDK likes to do so."""
    with capture_logs():
        yield
    assert capsys.readouterr().out == ""


def an_order(receipt: str = "R-1", **changes: Any) -> NewOrder:
    """Return an order of Rs 5,000."""
    fields: dict[str, Any] = {
        "receipt": receipt, "amount_paise": 500_000, "currency": "INR", "account": "clinic:42",
        "title": "5,000 credits", "return_url": "https://shop.example/back?tab=1#top",
    }  # fmt: skip
    return NewOrder(**fields | changes)


def razorpay_at(url: str, *, secret: str = KEY_SECRET, timeout: Any = PATIENCE) -> RazorpayGateway:
    return RazorpayGateway(KEY_ID, secret, api_base=url, timeout=timeout)


def stripe_at(url: str, *, key: str = STRIPE_KEY, timeout: Any = PATIENCE) -> StripeGateway:
    return StripeGateway(key, api_base=url, timeout=timeout)
