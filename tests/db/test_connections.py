"""The connections of a process, and what becomes of them after a fork."""

import gc
from typing import Any

import pytest
from sqlalchemy import make_url

import settings
from db import connections
from tests.billing.given import rows


@pytest.mark.usefixtures("database")
def test_the_autocommit_connection_is_kept() -> None:
    assert connections.autocommit_connection() is connections.autocommit_connection()


@pytest.mark.usefixtures("database")
def test_after_a_fork_the_parents_connection_is_left_open_and_not_used() -> None:
    of_parent = connections.autocommit_connection()
    connections.forget_connections()
    own = connections.autocommit_connection()
    assert own is not of_parent
    assert not of_parent.closed
    of_parent.close()


@pytest.mark.usefixtures("database")
def test_a_fork_of_a_fork_leaves_the_first_parents_connection_open() -> None:
    backend = connections.autocommit_connection().info.backend_pid

    connections.forget_connections()
    connections.forget_connections()
    gc.collect()

    assert rows(f"SELECT pid FROM pg_stat_activity WHERE pid = {backend}") == [(backend,)]


@pytest.mark.usefixtures("database")
def test_what_an_address_says_of_its_connections_is_not_overruled() -> None:
    plain = make_url(settings.get().database_url)
    chosen = plain.update_query_dict({"connect_timeout": "7", "application_name": "mine"})

    for url, expected in ((plain, ("5", "billing")), (chosen, ("7", "mine"))):
        for engine in (
            connections.make_engine(url),
            connections.unpooled_engine(
                url.render_as_string(hide_password=False), {"lock_timeout": "1s"}
            ),
        ):
            with engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                given = driver.info.dsn_parameters
            engine.dispose()
            assert (given["connect_timeout"], given["application_name"]) == expected
            # A server that vanished in the middle of a statement is noticed too
            assert given["tcp_user_timeout"] == "30000"
