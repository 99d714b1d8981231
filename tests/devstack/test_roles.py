"""The embedded PostgreSQL has two roles: the processes are one, whoever migrates the other."""

from collections.abc import Callable
from contextlib import closing

import psutil
import psycopg2
import pytest

from db.roles import VARIABLES
from tests.cli.runner import process
from tests.stack_process import StackProcess

MakeStack = Callable[..., StackProcess]


def query(stack: StackProcess, sql: str, *, role: str = "database_url") -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(stack.addresses[role])) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


def test_processes_know_the_role_that_cannot_change_the_ledger_and_no_other(
    make_stack: MakeStack,
) -> None:
    with make_stack() as stack:
        worker = psutil.Process(stack.running_pid_of("worker")).environ()
        assert "DATABASE_OWNER_URL" not in worker
        assert worker["DATABASE_URL"] == stack.addresses["database_url"]
        assert query(stack, "SELECT current_user, count(*) FROM accounts") == [("billing_app", 0)]
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            query(stack, "DELETE FROM credit_transactions")


def test_the_command_migrates_the_running_stack_with_nothing_set(make_stack: MakeStack) -> None:
    with make_stack() as stack:
        query(stack, "REVOKE ALL ON accounts FROM billing_app", role="database_owner_url")
        nothing = {**dict.fromkeys(VARIABLES.values()), "REDIS_URL": None,
                   "BILLING_DATA_DIR": str(stack.data_dir)}  # fmt: skip
        refused = process("accounts", "list", environment=nothing)
        assert "permission denied for table accounts: run `billing migrate`" in refused.error

        assert process("migrate", environment=nothing).exit_code == 0

        assert process("accounts", "list", environment=nothing).exit_code == 0


def test_data_of_the_version_before_get_their_second_role(make_stack: MakeStack) -> None:
    # Given data of a stack that had the superuser alone
    with make_stack() as stack:
        for statement in (
            "INSERT INTO accounts (ref, product, name, timezone, head_hash, created_at)"
            " VALUES ('clinic:1', 'clinic_leads', 'City Clinic', 'UTC', '', now())",
            "DROP OWNED BY billing_app",
            "DROP ROLE billing_app",
        ):
            query(stack, statement, role="database_owner_url")
    # When it is started by this version, then the data are there for the processes' role
    with make_stack() as stack:
        assert query(stack, "SELECT ref FROM accounts") == [("clinic:1",)]
