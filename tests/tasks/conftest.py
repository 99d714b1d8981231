"""The gateways for the tests that need them; no call to one is slow."""

from collections.abc import Iterator

import pytest

import settings
from devstack.simulator.config import Config
from devstack.simulator.server import running
from gateways.razorpay.client import RazorpayGateway
from gateways.stripe.client import StripeGateway
from tests.gateways.conftest import KEY_ID, KEY_SECRET, STRIPE_KEY, Sim


@pytest.fixture
def sim(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sim]:
    """Both gateways, as those of this process; nobody gets their webhooks."""
    config = Config(
        port=0, seed=5, razorpay_key_id=KEY_ID, razorpay_key_secret=KEY_SECRET,
        stripe_api_key=STRIPE_KEY,
    )  # fmt: skip
    with running(config) as gateways:
        for name, value in {
            "RAZORPAY_KEY_ID": KEY_ID,
            "RAZORPAY_KEY_SECRET": KEY_SECRET,
            "RAZORPAY_API_BASE": gateways.url,
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_API_BASE": gateways.stripe_url,
        }.items():
            monkeypatch.setenv(name, value)
        for client in (RazorpayGateway, StripeGateway):
            defaults = client.__init__.__kwdefaults__
            assert defaults is not None
            monkeypatch.setitem(defaults, "timeout", (1.0, 2.0))
        settings.get.cache_clear()
        yield Sim(gateways)
    settings.get.cache_clear()
