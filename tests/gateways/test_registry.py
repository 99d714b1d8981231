"""Which gateways there are, as the environment says; and what is imported for it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import settings
from gateways import registry
from gateways.errors import GatewayKeyRefused, GatewayNotConfigured, UnknownGateway
from tests.gateways.conftest import KEY_ID, KEY_SECRET, STRIPE_KEY, Sim, an_order

VARIABLES = ("RAZORPAY_KEY_ID", "RAZORPAY_KEY_SECRET", "STRIPE_API_KEY")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    settings.get.cache_clear()
    yield
    settings.get.cache_clear()


def give_keys(monkeypatch: pytest.MonkeyPatch, *, razorpay: str = "", stripe: str = "") -> None:
    if razorpay:
        monkeypatch.setenv("RAZORPAY_KEY_ID", KEY_ID)
        monkeypatch.setenv("RAZORPAY_KEY_SECRET", KEY_SECRET)
        monkeypatch.setenv("RAZORPAY_API_BASE", razorpay)
    if stripe:
        monkeypatch.setenv("STRIPE_API_KEY", STRIPE_KEY)
        monkeypatch.setenv("STRIPE_API_BASE", stripe)
    settings.get.cache_clear()


def test_a_gateway_with_a_key_is_made_once(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    give_keys(monkeypatch, razorpay=sim.url, stripe=sim.stripe_url)

    assert registry.configured() == ["razorpay", "stripe"]
    for name in registry.configured():
        gateway = registry.by_name(name)
        assert gateway.name == name
        assert gateway is registry.by_name(name)
        assert gateway.open_order(an_order()).receipt == "R-1"


def test_another_key_makes_another(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    give_keys(monkeypatch, razorpay=sim.url)
    first = registry.by_name("razorpay")
    monkeypatch.setenv("RAZORPAY_KEY_SECRET", "another")
    settings.get.cache_clear()

    second = registry.by_name("razorpay")

    assert second is not first
    with pytest.raises(GatewayKeyRefused):
        second.open_order(an_order())


def test_a_forked_process_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two processes on one connection would read each other's answers.
    give_keys(monkeypatch, razorpay="http://127.0.0.1:1", stripe="http://127.0.0.1:1")
    ours = {name: registry.by_name(name) for name in registry.configured()}

    child = os.fork()
    if child == 0:
        os._exit(sum(registry.by_name(name) is gateway for name, gateway in ours.items()))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_gateway_without_a_key_names_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.configured() == []
    with pytest.raises(GatewayNotConfigured, match="set RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET"):
        registry.by_name("razorpay")
    with pytest.raises(GatewayNotConfigured, match="set STRIPE_API_KEY"):
        registry.by_name("stripe")

    give_keys(monkeypatch, stripe="http://127.0.0.1:1")

    assert registry.configured() == ["stripe"]


@pytest.mark.parametrize("name", ["", "paypal", "Razorpay", "razorpay\n"])
def test_there_is_no_other_gateway(name: str) -> None:
    with pytest.raises(UnknownGateway, match="one of razorpay, stripe"):
        registry.by_name(name)


def test_an_sdk_is_imported_when_its_gateway_is_asked_for() -> None:
    code = (
        "import sys; from gateways import registry; registry.configured();"
        "assert not {'razorpay', 'stripe', 'requests'} & set(sys.modules);"
        "registry.by_name('razorpay'); assert 'stripe' not in sys.modules"
    )
    environment = {
        "DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x/0", "RAZORPAY_KEY_ID": KEY_ID,
        "RAZORPAY_KEY_SECRET": KEY_SECRET, "PYTHONPATH": str(settings.PROJECT_DIR),
    }  # fmt: skip

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True,
        check=False, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
