"""One server of pages for all of these tests, and an eye on it after each."""

from collections.abc import Iterator
from itertools import count

import pytest

import settings
from db import connections
from tests.conftest import addresses_of, new_database
from tests.web.web_process import SECRET, WebProcess

_numbers = count(1)


@pytest.fixture(scope="package")
def database_url() -> Iterator[str]:
    """The pages' own database."""
    with new_database() as url:
        yield url


@pytest.fixture(scope="package")
def running_web(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebProcess]:
    folder = tmp_path_factory.mktemp("web")
    catalog = settings.PROJECT_DIR / "catalog.toml"
    own = folder / "catalog.toml"
    own.write_text(
        catalog.read_text().replace(
            '{ name = "PharmaPulse One",',
            '{ name = "PharmaPulse One", billing_url = "https://pharma.example/pay?from=mail",',
        )
    )
    environment = {
        "DATABASE_URL": database_url, "WEB_SECRETS": SECRET, "BILLING_CATALOG": str(own),
    }  # fmt: skip
    with WebProcess(folder / "web.log", **environment) as web:
        yield web


@pytest.fixture
def web(running_web: WebProcess) -> Iterator[WebProcess]:
    """The running server; after the test: nothing broke in it, and it kept its tokens."""
    answered, logged = len(running_web.statuses), len(running_web.log)
    yield running_web
    assert [s for s in running_web.statuses[answered:] if s >= 500] == []
    log = running_web.log[logged:]
    assert "Traceback" not in log
    assert "request failed" not in log
    assert "@" not in log
    assert "eyJ" not in log  # how the payload of each token begins


@pytest.fixture
def house(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process work on the pages' database, with their secret."""
    for variable, url in addresses_of(database_url).items():
        monkeypatch.setenv(variable, url)
    monkeypatch.setenv("WEB_SECRETS", SECRET)
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
