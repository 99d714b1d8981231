"""Addresses of PostgreSQL: what people write, and what the driver is given."""

import re
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

import settings
from settings import database_url

USER = {"user": "ops", "password": "pass"}
MEANINGS: dict[str, dict[str, Any]] = {
    "postgresql://db.example/billing": {"host": "db.example", "dbname": "billing"},
    "postgres://ops:pass@db.example:5433/billing?sslmode=require": {
        **USER, "host": "db.example", "port": 5433, "dbname": "billing", "sslmode": "require",
    },
    "postgresql:///billing?host=/run": {"host": "/run", "dbname": "billing"},
    "postgresql://ops:pass@%2Fvar%2Frun/billing": {
        **USER, "host": "/var/run", "dbname": "billing",
    },
    "postgresql://ops:pass@%2Frun:5433/billing": {
        **USER, "host": "/run", "port": "5433", "dbname": "billing",
    },
    "postgresql://ops:pass@[::1]:5433/billing": {
        **USER, "host": "::1", "port": 5433, "dbname": "billing",
    },
    # Several hosts, in the forms of libpq and SQLAlchemy
    "postgresql://ops:pass@a:1,b:2/billing?target_session_attrs=read-write": {
        **USER, "host": "a,b", "port": "1,2", "dbname": "billing",
        "target_session_attrs": "read-write",
    },
    "postgresql://ops:pass@a,b:2/billing": {
        **USER, "host": "a,b", "port": ",2", "dbname": "billing",
    },
    "postgresql://ops:pass@/billing?host=a:1&host=b:2": {
        **USER, "host": "a,b", "port": "1,2", "dbname": "billing",
    },
    "postgresql://ops:pass@/billing?host=a,b&port=1,2": {
        **USER, "host": "a,b", "port": "1,2", "dbname": "billing",
    },
    # Passwords as they are pasted
    "postgresql://ops:p@ss@db/billing": {
        "user": "ops", "password": "p@ss", "host": "db", "dbname": "billing",
    },
    "postgresql://ops:p#a/s?s[w]@db:5433/billing?sslmode=require": {
        "user": "ops", "password": "p#a/s?s[w]", "host": "db", "port": 5433, "dbname": "billing",
        "sslmode": "require",
    },
    "postgresql://ops:p/a@s?s@a,b/billing": {
        "user": "ops", "password": "p/a@s?s", "host": "a,b", "port": ",", "dbname": "billing",
    },
    "postgresql://ops:p%40ss@db/billing": {
        "user": "ops", "password": "p@ss", "host": "db", "dbname": "billing",
    },
    "postgresql://db/my%20books": {"host": "db", "dbname": "my books"},
}  # fmt: skip
WRITE = "in a user or password write % as %25, @ as %40, # as %23, / as %2F, ? as %3F"
REFUSALS = {
    "db/billing": "must start with postgresql://",
    "mysql://ops:S3cret@db/billing": "must start with postgresql://",
    "postgresql://ops:S3cret@db:port/billing": "the port must be a number up to 65535",
    "postgresql://ops:S3cret@db:0/billing": "the port must be a number up to 65535",
    "postgresql://ops:S3cret@::1/billing": "an IPv6 address in [ ]",
    "postgresql://ops:S3cret@db/billing#x": "must be postgresql://user:password@host:port/name",
    "postgresql://ops:S3cret@db/billing?schema=x": "PostgreSQL knows no parameter 'schema'",
    "postgresql://ops:S3cret@db/billing?S3cret=1": "PostgreSQL knows no parameter of that name",
    "postgresql://ops:S3cret@db/billing?S3cret": "must be name=value",
    "postgresql://ops:S3cret@db/billing?host=a:1&host=b&port=1": "write each port once",
    "postgresql://ops:S3cret@db/billing\n?x": "must hold no line ends",
    "postgresql://ops:S3cret@db/billing?user=a@b": WRITE,
    "postgresql://ops/S3cret@db/billing": WRITE,
    "postgresql://ops:S3cret/1@db:port/billing": WRITE,
}


@pytest.mark.parametrize("url", MEANINGS)
def test_an_address_reaches_the_driver_as_it_was_meant(url: str) -> None:
    read = make_url(database_url.read(url))

    _, given = create_engine(read).dialect.create_connect_args(read)

    assert given == MEANINGS[url]


@pytest.mark.parametrize("url", MEANINGS)
def test_what_was_read_is_read_again_as_the_same(url: str) -> None:
    assert database_url.read(database_url.read(url)) == database_url.read(url)


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_OWNER_URL"])
@pytest.mark.parametrize("url", REFUSALS)
def test_an_address_that_cannot_be_meant_is_one_line_that_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/billing")
    monkeypatch.setenv("REDIS_URL", "redis://broker.example/0")
    monkeypatch.setenv(variable, url)

    with pytest.raises(settings.SettingsError, match=re.escape(REFUSALS[url])) as caught:
        settings.load()

    assert str(caught.value).startswith(f"{variable}: ")
    assert "S3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_second_of_two_hosts_answers_and_libpq_reads_the_form_too(database: str) -> None:
    # Given the server of the tests after one that is not there
    known = make_url(database)
    folder = quote(str(known.query.get("host", known.host)), safe="")
    login = f"{known.username}:{quote(known.password or '', safe='')}"
    port = known.port or known.query.get("port", 5432)
    hosts = f"%2Fnonexistent:{port},{folder}:{port}"
    url = database_url.read(f"postgresql://{login}@{hosts}/{known.database}")
    # When each connects
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        by_sqlalchemy = connection.scalar(text("SELECT current_database()"))
    plain = psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://"))
    # Then both are there
    assert by_sqlalchemy == plain.info.dbname == known.database
    plain.close()
