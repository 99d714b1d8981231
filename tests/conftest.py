"""The servers and databases of the tests: real PostgreSQL and Redis, started once a session.

Every test that asks for `database` gets a new, migrated, empty database of its own, cloned from
a template. Where DATABASE_URL or REDIS_URL is set, that server is used in place of an embedded
one; databases are made and dropped beside the named one, which itself is not touched.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import psycopg2
import pytest
from redis import Redis
from sqlalchemy import make_url

import settings
from db import migrate, session
from devstack import servers

TEMPLATE = f"billing_test_template_{os.getpid()}"
LEAD_SECRET = "whsec_" + "dGVzdHMtb25seS1zZWNyZXQtb2YtMzItYnl0ZXMhISE="

_running = ExitStack()
_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos-rounds", type=int, default=1, help="how often the chaos test runs its rounds"
    )


def pytest_sessionstart() -> None:
    """Start the servers before test modules are imported: the Celery app reads its settings."""
    if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        embedded = _running.enter_context(servers.temporary(durable=False))
        os.environ.setdefault("DATABASE_URL", embedded.database_url)
        os.environ.setdefault("REDIS_URL", embedded.redis_url)
    os.environ["LEAD_WEBHOOK_SECRETS"] = LEAD_SECRET


def pytest_sessionfinish() -> None:
    if _template.created:
        _maintain(f'DROP DATABASE "{TEMPLATE}"')
    _running.close()


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new database, as DATABASE_URL of this process; its URL."""
    with new_database() as url:
        monkeypatch.setenv("DATABASE_URL", url)
        _forget_settings()
        yield url
        session.engine().dispose()
        _forget_settings()


@contextmanager
def new_database() -> Iterator[str]:
    """Make a migrated, empty database, yield its URL, and drop it; for fixtures of any scope."""
    _template.ensure()
    name = f"billing_test_{os.getpid()}_{next(_numbers)}"
    _maintain(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
    try:
        yield _url_of(name)
    finally:
        _maintain(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def many_connections(database: str) -> Iterator[None]:
    """Let the threads of a test have a connection each."""
    wide = session.make_engine(make_url(settings.get().database_url), pool_size=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "engine", lambda: wide)
        yield
    wide.dispose()


@pytest.fixture
def redis() -> Iterator[Redis]:
    """The broker, empty of keys."""
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
        yield client
        client.flushdb()


class _Template:
    """The migrated database that the others are cloned from, made when first needed."""

    created = False

    def ensure(self) -> None:
        if not self.created:
            _maintain(f'CREATE DATABASE "{TEMPLATE}"')
            self.created = True
            migrate.upgrade(settings.Settings(database_url=_url_of(TEMPLATE)).database_url)


_template = _Template()


def _forget_settings() -> None:
    settings.get.cache_clear()
    session.engine.cache_clear()


def _url_of(name: str) -> str:
    url = make_url(os.environ["DATABASE_URL"]).set(database=name, drivername="postgresql")
    return url.render_as_string(hide_password=False)


def _maintain(statement: str) -> None:
    connection = psycopg2.connect(_url_of("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
