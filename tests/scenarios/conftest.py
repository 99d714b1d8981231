"""One receiver and one simulator for all scenarios; this process is the worker."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import requests

import clock
import settings
from db import connections
from devstack.simulator import server
from devstack.simulator.config import Config
from devstack.simulator.server import Running
from gateways.razorpay.client import RazorpayGateway
from gateways.stripe.client import StripeGateway
from tests.conftest import addresses_of, new_database
from tests.webhook_receiver.receiver_process import ReceiverProcess

KEY_ID, KEY_SECRET = "rzp_test_scenarios", "razorpay-secret-of-scenarios"
STRIPE_KEY = "sk_test_scenarios"
RAZORPAY_SECRETS = ("the-newest-webhook-secret", "the-webhook-secret-before")
STRIPE_SECRET = "whsec_of_the_scenarios"


@pytest.fixture(scope="package")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Both gateways, which send their webhooks to a real receiver with the scenarios' database."""
    log_file = tmp_path_factory.mktemp("scenarios") / "receiver.log"
    with (
        pytest.MonkeyPatch.context() as patch,
        new_database() as url,
        ReceiverProcess(
            log_file,
            DATABASE_URL=url,
            RAZORPAY_WEBHOOK_SECRETS=",".join(RAZORPAY_SECRETS),
            STRIPE_WEBHOOK_SECRETS=STRIPE_SECRET,
        ) as receiver,
        server.running(
            Config(
                port=0,
                razorpay_key_id=KEY_ID,
                razorpay_key_secret=KEY_SECRET,
                razorpay_webhook_secrets=RAZORPAY_SECRETS,
                razorpay_webhook_urls=(f"http://127.0.0.1:{receiver.port}/webhooks/razorpay",),
                stripe_api_key=STRIPE_KEY,
                stripe_webhook_secrets=(STRIPE_SECRET,),
                stripe_webhook_urls=(f"http://127.0.0.1:{receiver.port}/webhooks/stripe",),
            )
        ) as running,
    ):
        for name, value in {
            **addresses_of(url),
            "RAZORPAY_KEY_ID": KEY_ID,
            "RAZORPAY_KEY_SECRET": KEY_SECRET,
            "RAZORPAY_API_BASE": running.url,
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_API_BASE": running.stripe_url,
        }.items():
            patch.setenv(name, value)
        # A gateway that is slow for half a second is one that does not answer.
        for client in (RazorpayGateway, StripeGateway):
            defaults = client.__init__.__kwdefaults__
            assert defaults is not None
            patch.setitem(defaults, "timeout", (3, 0.3))
        _forget()
        yield running
        connections.engine().dispose()
    _forget()


@pytest.fixture
def control(simulator: Running) -> Callable[[str, Mapping[str, object]], dict[str, Any]]:
    """Make happen what customers, banks and time can, over HTTP."""

    def play(path: str, wanted: Mapping[str, object]) -> dict[str, Any]:
        url = f"{simulator.url}/simulator/{path}"
        answer = requests.post(url, data=json.dumps(wanted), timeout=10)
        found: dict[str, Any] = answer.json()
        return found

    return play


@pytest.fixture(autouse=True)
def the_time_that_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the clock back that a scenario moves on."""
    monkeypatch.setattr(clock, "_offset", clock._offset)


def _forget() -> None:
    settings.get.cache_clear()
    connections.engine.cache_clear()
