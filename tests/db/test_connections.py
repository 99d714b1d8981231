"""The connections of a process, and what becomes of them after a fork."""

import gc

import pytest

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
