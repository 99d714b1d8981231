"""One API for all of these tests, and an eye on it after each."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

import settings
from db import connections
from devstack.simulator.server import running as simulator_running
from devstack.simulator.switches import Switches
from tests.api import given as shop_parts
from tests.api.api_process import ApiProcess
from tests.api.given import Shop
from tests.conftest import addresses_of, new_database
from tests.gateways.conftest import KEY_SECRET, STRIPE_KEY, Sim

HOUSE_KEY = "the-house-key-of-the-tests"
OTHER_HOUSE_KEY = "another.house~key/of+tests"
_numbers = count(1)


@pytest.fixture(scope="package")
def database_url() -> Iterator[str]:
    """The API's own database."""
    with new_database() as url:
        yield url


@pytest.fixture(scope="package")
def running_api(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiProcess]:
    log_file = tmp_path_factory.mktemp("api") / "api.log"
    keys = f"house:{HOUSE_KEY}, other-house:{OTHER_HOUSE_KEY}"
    with ApiProcess(log_file, DATABASE_URL=database_url, API_KEYS=keys) as api:
        yield api


@pytest.fixture
def api(running_api: ApiProcess) -> Iterator[ApiProcess]:
    """The running API; after the test: nothing broke in it, and it kept its secrets."""
    answered, logged = len(running_api.statuses), len(running_api.log)
    yield running_api
    assert [s for s in running_api.statuses[answered:] if s >= 500] == []
    log = running_api.log[logged:]
    assert "Traceback" not in log
    assert "request failed" not in log
    assert_keeps_secrets(running_api, log)


@pytest.fixture
def house(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process work on the API's database, as the other doors do."""
    for variable, url in addresses_of(database_url).items():
        monkeypatch.setenv(variable, url)
    settings.get.cache_clear()
    connections.engine.cache_clear()
    yield
    connections.engine().dispose()
    settings.get.cache_clear()
    connections.engine.cache_clear()


@pytest.fixture
def number() -> int:
    """A number of this test's own: the tests share a database."""
    return next(_numbers)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """Where a test's own API writes."""
    return tmp_path / "api.log"


def assert_keeps_secrets(api: ApiProcess, log: str) -> None:
    """No key that was configured or sent stands in `log`."""
    assert HOUSE_KEY not in log
    assert OTHER_HOUSE_KEY not in log
    for header in api.secrets_sent:
        value = header.rpartition(" ")[2]
        assert len(value) < 10 or value not in log


@pytest.fixture(scope="package")
def running_shop(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop_on(database_url, tmp_path_factory.mktemp("shop") / "api.log") as running:
        yield running


@contextmanager
def shop_on(database_url: str, log_file: Path) -> Iterator[Shop]:
    """An API that sells, with both gateways as simulators behind it."""
    with simulator_running(shop_parts.GATEWAYS) as running:
        sim = Sim(running)
        chosen = shop_parts.environment(database_url, HOUSE_KEY, sim)
        with ApiProcess(log_file, **chosen) as api:
            yield Shop(api, sim, HOUSE_KEY)


@pytest.fixture
def shop(running_shop: Shop) -> Iterator[Shop]:
    """The shop, its gateways at their best; after the test: nothing broke, no secret was logged."""
    api, world = running_shop.api, running_shop.sim.world
    world.switches = Switches()
    answered, logged = len(api.statuses), len(api.log)
    yield running_shop
    world.switches = Switches()
    assert [status for status in api.statuses[answered:] if status >= 500 and status != 503] == []
    log = api.log[logged:]
    assert "Traceback" not in log
    assert "request failed" not in log
    assert_keeps_secrets(api, log)
    for secret in (KEY_SECRET, STRIPE_KEY, *running_shop.signatures):
        assert secret not in log
