"""`billing migrate` says what it did, and a database that is not the code's is one line."""

import pytest
from alembic import command
from sqlalchemy import text

import settings
from db import migrate
from db.roles import Role, role_of, url_of
from tests.cli.runner import process, run
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")


def name_of(role: Role) -> str | None:
    return role_of(url_of(role))


def test_it_names_each_migration_right_and_limit() -> None:
    command.downgrade(migrate.config(settings.get().database_owner_url), "0007")

    done = run("migrate", "--json").json

    assert done["before"] == "0007"
    assert done["applied"][0] == {
        "revision": "0008",
        "title": "A gateway that was listed and never heard of has no time of its last event.",
    }
    assert done["after"] == done["applied"][-1]["revision"]
    assert [rights["stands_for"] for rights in done["rights"]] == [
        ["workers"], ["doors"], ["retention"],
    ]  # fmt: skip
    assert [limits["changed"] for limits in done["limits"]] == [True, True, True]


def test_a_right_that_somebody_added_by_hand_is_named_when_it_is_taken() -> None:
    with owner() as connection:
        connection.execute(text(f"GRANT DELETE ON accounts TO {name_of(Role.WORKERS)}"))

    out = run("migrate").out

    assert (
        f"Role {name_of(Role.WORKERS)} (workers) was taken DELETE ON TABLE public.accounts\n" in out
    )


def test_many_rights_of_a_role_are_counted_on_the_terminal() -> None:
    with owner() as connection:
        connection.execute(
            text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name_of(Role.WORKERS)}")
        )

    [line] = [line for line in run("migrate").out.splitlines() if "was given" in line]

    assert line.startswith(f"Role {name_of(Role.WORKERS)} (workers) was given ")
    assert line.endswith(" rights; --json lists them")


def test_limits_that_are_refused_are_printed_as_statements() -> None:
    with owner() as connection:
        database = connection.scalar(text("SELECT current_database()"))
        connection.execute(
            text(
                f"ALTER ROLE {name_of(Role.DOORS)} IN DATABASE {database}"
                " SET default_transaction_read_only = on"
            )
        )

    out = run("migrate").out

    assert (
        f"The limits of role {name_of(Role.DOORS)} could not be set (cannot execute ALTER ROLE"
        in out
    )
    assert (
        f'  ALTER ROLE "{name_of(Role.DOORS)}" IN DATABASE "{database}"'
        " SET statement_timeout = '15000';\n" in out
    )


@pytest.mark.parametrize("asked", [("accounts", "list"), ("migrate",)])
def test_a_database_newer_than_the_code_is_one_line(asked: tuple[str, ...]) -> None:
    with owner() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    ran = process(*asked)

    assert "9999, newer than this version" in ran.error
