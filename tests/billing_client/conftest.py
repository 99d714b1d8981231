"""One API for the tests that spend credit, with a database of its own."""

from collections.abc import Iterator
from itertools import count

import pytest

import settings
from billing_client import http
from db import connections
from tests.api.api_process import ApiProcess
from tests.billing.given import open_account
from tests.billing_client.bank import API_KEY, OPENING, Bank, client_of
from tests.billing_client.lossy_proxy import LossyProxy
from tests.conftest import addresses_of, new_database

_numbers = count(1)


@pytest.fixture(scope="package")
def bank_database() -> Iterator[str]:
    """The API's own database."""
    with new_database() as url:
        yield url


@pytest.fixture(scope="package")
def bank_api(bank_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    log_file = tmp_path_factory.mktemp("api") / "api.log"
    keys = f"platform:{API_KEY}"
    with ApiProcess(log_file, DATABASE_URL=bank_database, API_KEYS=keys) as api:
        yield api


@pytest.fixture(scope="package")
def bank_proxy(bank_api: ApiProcess) -> Iterator[LossyProxy]:
    """The network to it."""
    with LossyProxy(bank_api.port) as proxy:
        yield proxy


@pytest.fixture
def bank(
    bank_api: ApiProcess,
    bank_proxy: LossyProxy,
    bank_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bank]:
    """The API behind a network, this process on its database, and an account of 1,000 credits."""
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.01)
    for variable, url in addresses_of(bank_database).items():
        monkeypatch.setenv(variable, url)
    settings.get.cache_clear()
    connections.engine.cache_clear()
    account = open_account(f"clinic:spender-{next(_numbers)}", credits_=OPENING)
    bank_proxy.reset()
    with client_of(bank_proxy.url) as client:
        found = Bank(bank_api, bank_proxy, client, account)
        yield found
    found.check()
    connections.engine().dispose()
    settings.get.cache_clear()
    connections.engine.cache_clear()
