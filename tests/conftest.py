"""The servers and databases of the tests: real PostgreSQL and Redis, started once a session.

Every test that asks for `database` gets a new, migrated, empty database of its own, cloned from
a template. If DATABASE_URL or REDIS_URL is set, that server is used instead of an embedded
one; databases and a role are made and dropped beside the named ones, which are not touched.

As in production the roles are split: the owner migrates, receiver and API are the doors, and all
else runs as the workers' role, which cannot change the ledger. A test that tampers does so as the
`owner`.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import hypothesis
import psycopg2
import pytest
import structlog
from redis import Redis
from sqlalchemy import Connection, NullPool, create_engine, make_url

import settings
from billing import audit
from db import connections, migrate
from db.roles import VARIABLES, Role
from devstack import servers

pytest_plugins = ["tests.browser"]

TEMPLATE = f"billing_test_template_{os.getpid()}"
ROLES = {
    role: f"billing_test_{role}_{os.getpid()}"
    for role in (Role.WORKERS, Role.DOORS, Role.RETENTION)
}
"""The roles of the processes on a server that is not ours."""
MOST_PROCESSES = 4
"""More would have the tests that count seconds wait for each other."""
LEAD_SECRET = "whsec_" + "dGVzdHMtb25seS1zZWNyZXQtb2YtMzItYnl0ZXMhISE="

# How long an example takes says how busy the machine is, and nothing about us. In a fresh checkout
# the first one of any text takes seconds: Hypothesis makes its tables of Unicode.
hypothesis.settings.register_profile(
    "patient",
    parent=hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")

_running = ExitStack()
_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos-rounds", type=int, default=1, help="how often the chaos test runs its rounds"
    )
    parser.addoption(
        "--machine-steps", type=int, default=5_000, help="how many steps the ledger machine takes"
    )
    parser.addoption(
        "--payment-seeds", type=int, default=12, help="how many payment scenarios are played"
    )
    parser.addoption(
        "--calendar-seeds",
        type=int,
        default=1,
        help="how many worlds of plans live three years",
    )
    parser.addoption(
        "--grant-accounts", type=int, default=100_000, help="how many accounts a killed run grants"
    )
    parser.addoption("--calendar-seed", type=int, help="repeats one world of plans")
    parser.addoption("--payment-seed", type=int, help="repeats one payment scenario")
    parser.addoption(
        "--return-lives", type=int, default=10, help="how many lives of payments are played"
    )
    parser.addoption("--return-seed", type=int, help="repeats one life of payments")
    parser.addoption("--machine-seed", type=int, help="repeats a run of the ledger machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return for `-n auto` how many processes run the tests, each with servers of its own.

    One, if they are to use a given Redis: each empties it.
    """
    return 0 if os.environ.get("REDIS_URL") else min(os.cpu_count() or 1, MOST_PROCESSES)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the servers before test modules are imported: the Celery app reads its settings."""
    if session.config.getoption("dist", "no") != "no":
        return  # other processes run the tests
    own_database, own_redis = (not os.environ.get(n) for n in ("DATABASE_URL", "REDIS_URL"))
    if own_database or own_redis:
        embedded = _running.enter_context(servers.temporary(durable=False))
        os.environ.setdefault("REDIS_URL", embedded.redis_url)
    if own_database:
        os.environ |= embedded.database_urls
        _template.strategy = "FILE_COPY"
    else:
        _running.enter_context(_roles_of_our_own())
    os.environ["LEAD_WEBHOOK_SECRETS"] = LEAD_SECRET


def pytest_sessionfinish() -> None:
    if _template.created:
        _maintain(f'DROP DATABASE "{TEMPLATE}"')
    _running.close()


@pytest.fixture(autouse=True)
def asked_by_a_test() -> Iterator[None]:
    """Somebody asks for what the rules change."""
    with audit.asked_by("test", door="cli"):
        yield


@pytest.fixture(autouse=True)
def the_role_is_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that another test made in this process let it work as the doors."""
    monkeypatch.setattr(connections, "_role", Role.WORKERS)


@pytest.fixture(autouse=True)
def no_logger_is_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test configures ends with it: a logger that was kept would go on as it was."""
    configure = structlog.configure

    def without_keeping(**options: Any) -> None:
        configure(**options | {"cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", without_keeping)
    yield
    structlog.reset_defaults()


@pytest.fixture
def announce(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return what writes a line at once, such as the seed that repeats a long test.

    Where several processes run the tests there is no terminal for it: it is shown with a failure.
    """

    def write(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return write


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new database, as DATABASE_URL of this process; its URL, for the application's role."""
    with new_database() as url:
        for variable, address in addresses_of(url).items():
            monkeypatch.setenv(variable, address)
        _forget_settings()
        yield url
        connections.engine().dispose()
        _forget_settings()


@contextmanager
def new_database() -> Iterator[str]:
    """Make a migrated, empty database, yield its URL, and drop it; for fixtures of any scope.

    The URL is for the application's role; `owner_url` makes it the owner's.
    """
    _template.ensure()
    name = f"billing_test_{os.getpid()}_{next(_numbers)}"
    _maintain(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" STRATEGY {_template.strategy}')
    try:
        yield _url_of(name, "DATABASE_URL")
    finally:
        _maintain(f'DROP DATABASE "{name}" WITH (FORCE)')


def migrator_url(url: str) -> str:
    """Return `owner_url` in SQLAlchemy's form, for `db.migrate`."""
    made = make_url(owner_url(url)).set(drivername="postgresql+psycopg2")
    return made.render_as_string(hide_password=False)


def owner_url(url: str) -> str:
    """Return the address of the same database for the owner of its tables."""
    return addresses_of(url)["DATABASE_OWNER_URL"]


def addresses_of(url: str) -> dict[str, str]:
    """Return every variable of a database of `new_database`; of another one, its address alone."""
    if make_url(url).username != make_url(os.environ["DATABASE_URL"]).username:
        return dict.fromkeys(VARIABLES.values(), url)
    name = str(make_url(url).database)
    return {variable: _url_of(name, variable) for variable in VARIABLES.values()}


@contextmanager
def owner() -> Iterator[Connection]:
    """One transaction on the test's database as the owner, who can do what the product cannot."""
    engine = create_engine(settings.get().database_owner_url, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


@pytest.fixture
def many_connections(database: str) -> Iterator[None]:
    """Let the threads of a test have a connection each."""
    wide = connections.make_engine(make_url(settings.get().database_url), pool_size=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "engine", lambda: wide)
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
    strategy = "WAL_LOG"
    """PostgreSQL's default; a copy of files takes half as long if no disk is waited for."""

    def ensure(self) -> None:
        if not self.created:
            _maintain(f'CREATE DATABASE "{TEMPLATE}"')
            self.created = True
            migrate.upgrade(
                {
                    role: _url_of(TEMPLATE, variable).replace("://", "+psycopg2://", 1)
                    for role, variable in VARIABLES.items()
                }
            )


_template = _Template()


def _forget_settings() -> None:
    connections.work_as(Role.WORKERS)
    settings.get.cache_clear()
    connections.engine.cache_clear()


@contextmanager
def _roles_of_our_own() -> Iterator[None]:
    """Make the roles of the processes on a person's server; the variables become theirs."""
    given = os.environ["DATABASE_URL"]
    os.environ["DATABASE_OWNER_URL"] = os.environ.get("DATABASE_OWNER_URL") or given
    password = secrets.token_hex(16)
    try:
        for role, name in ROLES.items():
            _maintain(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}'")
            url = make_url(given).set(username=name, password=password)
            os.environ[VARIABLES[role]] = url.render_as_string(hide_password=False)
    except psycopg2.errors.InsufficientPrivilege as error:
        pytest.exit(f"the tests make roles of their own, and DATABASE_URL may not: {error}", 1)
    try:
        yield
    finally:
        for name in ROLES.values():
            _maintain(f'DROP ROLE "{name}"')


def _url_of(name: str, variable: str) -> str:
    url = make_url(os.environ[variable]).set(database=name, drivername="postgresql")
    return url.render_as_string(hide_password=False)


def _maintain(statement: str) -> None:
    connection = psycopg2.connect(_url_of("postgres", "DATABASE_OWNER_URL"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
