"""A simulator over real HTTP, the gateways' own SDKs before it and a receiver behind it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import razorpay
import requests
import stripe

from devstack.simulator.config import Config
from devstack.simulator.server import Running, running
from devstack.simulator.switches import Switches
from tests.devstack.simulator.receiver import Receiver, receiving, wait_until

KEY_ID, KEY_SECRET = "rzp_test_tests", "tests_key_secret"
WEBHOOK_SECRETS = ("tests_webhook_secret", "tests_webhook_secret_before")
STRIPE_KEY = "sk_test_tests"
STRIPE_SECRETS = ("whsec_tests", "whsec_tests_before")
SPEED = 40_000
"""A day of the retry ladder in two seconds."""


class Control:
    """The control endpoints, as curl would use them."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self._session = session

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self._session.request(
            method, f"{self.url}/simulator/{path}", json=body, timeout=30
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def set(self, **switches: object) -> None:
        """Change switches."""
        self("PATCH", "switches", switches)

    def pay(self, order_id: str, outcome: str = "success", **more: object) -> Any:
        """Play a customer."""
        return self("POST", "pay", {"order_id": order_id, "outcome": outcome, **more})

    def pay_session(self, session_id: str, outcome: str = "success") -> Any:
        """Play a customer of Stripe."""
        return self("POST", "pay", {"session_id": session_id, "outcome": outcome})

    def settled(self) -> list[dict[str, Any]]:
        """Return all deliveries when none is waiting."""
        wait_until(lambda: self("GET", "deliveries")["waiting"] == 0)
        items: list[dict[str, Any]] = self("GET", "deliveries")["items"]
        return items


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as it:
        yield it


@pytest.fixture
def config(receiver: Receiver) -> Config:
    return Config(
        port=0,
        seed=7,
        razorpay_key_id=KEY_ID,
        razorpay_key_secret=KEY_SECRET,
        razorpay_webhook_secrets=WEBHOOK_SECRETS,
        razorpay_webhook_urls=(f"{receiver.url}/webhooks/razorpay",),
        stripe_api_key=STRIPE_KEY,
        stripe_webhook_secrets=STRIPE_SECRETS,
        stripe_webhook_urls=(f"{receiver.url}/webhooks/stripe",),
        webhook_timeout_seconds=0.5,
        switches=Switches(speed=SPEED),
    )


@pytest.fixture
def simulator(config: Config) -> Iterator[Running]:
    with running(config) as it:
        yield it


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def control(simulator: Running, http: requests.Session) -> Control:
    return Control(simulator.url, http)


@pytest.fixture
def gateway(simulator: Running, http: requests.Session) -> razorpay.Client:
    """The razorpay SDK."""
    return razorpay.Client(auth=(KEY_ID, KEY_SECRET), base_url=simulator.url, session=http)


@pytest.fixture
def stripe_client(simulator: Running, http: requests.Session) -> stripe.StripeClient:
    """The stripe SDK, without its own retries: a test sees each answer."""
    return stripe.StripeClient(
        STRIPE_KEY,
        base_addresses={"api": simulator.stripe_url},
        http_client=stripe.RequestsClient(session=http),
        max_network_retries=0,
    )


Raw = Callable[..., tuple[int, Any]]


@pytest.fixture
def raw(simulator: Running, http: requests.Session) -> Raw:
    """Razorpay's API without the SDK, which hides statuses and most of an error."""

    def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = http.request(
            method, f"{simulator.url}/v1{path}", auth=(KEY_ID, KEY_SECRET), timeout=30,
            data=json.dumps(body) if body is not None else None,
        )  # fmt: skip
        return answer.status_code, answer.json()

    return call


@pytest.fixture
def new_order(gateway: razorpay.Client) -> Callable[..., Any]:
    """Return a maker of orders of Rs 5,000."""

    def make(**more: object) -> Any:
        return gateway.order.create({"amount": 500_000, "currency": "INR", **more})

    return make


@pytest.fixture
def new_session(stripe_client: stripe.StripeClient) -> Callable[..., stripe.checkout.Session]:
    """Return a maker of Checkout Sessions of Rs 5,000."""

    def make(**more: Any) -> stripe.checkout.Session:
        item = {
            "price_data": {
                "currency": "inr",
                "unit_amount": 500_000,
                "product_data": {"name": "5,000 credits"},
            },
            "quantity": 1,
        }  # fmt: skip
        params: Any = {"mode": "payment", "line_items": [item], **more}
        return stripe_client.v1.checkout.sessions.create(params)

    return make
