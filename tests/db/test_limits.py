"""Limits that something between us and the server drops, and options of the address that stay."""

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg2
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

import settings
from db import limits, migrate, role_sessions, roles
from db.connections import make_engine
from db.errors import LimitsNotInForce, PoolerRefuses, SearchPathDropped
from db.process_start import check_database
from db.role_sessions import OtherPlace
from db.roles import Role
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def pooler_url() -> Iterator[str]:
    """The workers' address through a proxy that drops `options`, as a pooler can be told to."""
    target = make_url(settings.get().database_url)
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server, target), daemon=True).start()
    port = server.getsockname()[1]
    named = target.set(host="127.0.0.1", port=port, query={"sslmode": "disable"})
    with closing(server):
        yield named.render_as_string(hide_password=False)


def _serve(server: socket.socket, target: object) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_pass_on, args=(client, target), daemon=True).start()


def _pass_on(client: socket.socket, target: object) -> None:
    query = target.query  # type: ignore[attr-defined]
    if query.get("host", "").startswith("/"):
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(f"{query['host']}/.s.PGSQL.{query.get('port', 5432)}")
    else:
        upstream = socket.create_connection((target.host, target.port or 5432))  # type: ignore[attr-defined]
    (length,) = struct.unpack("!i", client.recv(4, socket.MSG_WAITALL))
    message = client.recv(length - 4, socket.MSG_WAITALL)
    words = message[4:].split(b"\0")
    kept = [
        w
        for pair in zip(words[::2], words[1::2], strict=False)
        for w in pair
        if pair[0] not in (b"options", b"")
    ]
    body = message[:4] + b"\0".join(kept) + b"\0\0"
    upstream.sendall(struct.pack("!i", len(body) + 4) + body)
    other = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
    other.start()
    _pump(client, upstream)
    other.join()
    client.close()
    upstream.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def test_limits_that_a_pooler_drops_are_an_error_until_the_role_has_them(
    pooler_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", pooler_url)
    settings.get.cache_clear()

    with pytest.raises(
        LimitsNotInForce, match=r"statement_timeout is 0, not 15000.*billing migrate"
    ):
        check_database(Role.WORKERS)

    role_sessions.set_limits(roles.addresses(settings.get()))
    check_database(Role.WORKERS)


def test_a_search_path_that_a_pooler_drops_is_an_error_of_process_and_migration(
    pooler_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = make_url(pooler_url).update_query_dict({"options": r"-c search_path=a,\ tenant"})
    monkeypatch.setenv("DATABASE_URL", asking.render_as_string(hide_password=False))
    settings.get.cache_clear()
    role_sessions.set_limits(roles.addresses(settings.get()))

    with pytest.raises(SearchPathDropped, match=r"search_path=a, tenant, and .*ALTER ROLE"):
        check_database(Role.WORKERS)
    with pytest.raises(SearchPathDropped):
        migrate.upgrade(dict.fromkeys(Role, settings.get().database_url))


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """The address of a server that answers as PgBouncer does if it is not to ignore `options`."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_refuse, args=(server,), daemon=True).start()
    with closing(server):
        yield f"postgresql://x@127.0.0.1:{server.getsockname()[1]}/x?sslmode=disable"


def _refuse(server: socket.socket) -> None:
    fields = b"SERROR\0C08P01\0Munsupported startup parameter: options\0\0"
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            (length,) = struct.unpack("!i", client.recv(4, socket.MSG_WAITALL))
            client.recv(length - 4, socket.MSG_WAITALL)
            client.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)


def test_a_pooler_that_refuses_the_limits_is_an_error_that_names_the_remedy(
    refusing_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", refusing_url)
    settings.get.cache_clear()

    # Not taken for a server that is away, which a start waits for.
    with pytest.raises(PoolerRefuses, match=re.escape("ignore_startup_parameters = options")):
        check_database(Role.WORKERS)


def test_options_of_the_address_stay_and_our_limits_are_added() -> None:
    with owner() as connection:
        connection.execute(text("CREATE SCHEMA tenant; GRANT USAGE ON SCHEMA tenant TO PUBLIC"))
    url = make_url(settings.get().database_url).update_query_dict(
        {"options": "-c search_path=tenant -c statement_timeout=0"}
    )
    engine = make_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_schema()")) == "tenant"
        assert connection.scalar(text("SHOW statement_timeout")) == "15s"
    engine.dispose()


def test_backslashes_mean_the_same_whatever_the_role_is_set_to() -> None:
    role = roles.role_of(settings.get().database_url)
    with owner() as connection:
        connection.execute(text(f'ALTER ROLE "{role}" SET standard_conforming_strings = off'))
    try:
        engine = make_engine(make_url(settings.get().database_url))
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW standard_conforming_strings")) == "on"
        engine.dispose()
    finally:
        with owner() as connection:
            connection.execute(text(f'ALTER ROLE "{role}" RESET standard_conforming_strings'))


def test_processes_in_another_schema_than_the_migrations_are_refused_before_anything_is_done() -> (
    None
):
    with owner() as connection:
        connection.execute(text("CREATE SCHEMA tenant"))
    named = {**roles.addresses(settings.get())}
    url = make_url(named[Role.WORKERS]).update_query_dict({"options": "-c search_path=tenant"})
    named[Role.WORKERS] = url.render_as_string(hide_password=False)

    with pytest.raises(OtherPlace, match=r"DATABASE_URL leads to .*'tenant'.*'public'"):
        migrate.upgrade(named)


def test_the_doors_can_neither_make_nor_revive_nor_widen_an_api_key() -> None:
    for statement in (
        "INSERT INTO api_keys (name, key_sha256, product, scopes, created_at)"
        " VALUES ('x', 'x', 'clinic_leads', '{}', '2026-01-01Z')",
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE api_keys SET scopes = '{}'",
        "UPDATE accounts SET product = 'pharmapulse_one'",
        "UPDATE accounts SET ref = 'clinic:other'",
        "UPDATE inbound_events SET state = 'pending'",
    ):
        for role in (Role.DOORS, Role.RETENTION):
            engine = make_engine(make_url(roles.url_of(role)))
            with pytest.raises(DBAPIError) as caught, engine.connect() as connection:
                connection.execute(text(statement))
            assert isinstance(caught.value.orig, psycopg2.errors.InsufficientPrivilege)
            engine.dispose()


def test_every_limit_has_a_place_in_the_startup_options() -> None:
    shown = limits.options(make_url("postgresql://x/y"))
    assert all(f"-c {name}=" in shown for name in limits.LIMITS)
