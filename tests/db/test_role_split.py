"""What undoes the split of the roles is named, with what is lost by it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

import settings
from db import role_split
from db.roles import Role, role_of, url_of
from db.session import transaction
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")


def lines(**changed: str) -> list[str]:
    known = settings.get().model_copy(update=changed)
    with transaction() as session:
        return role_split.not_split(session, known)


def name_of(role: Role) -> str | None:
    return role_of(url_of(role))


@contextmanager
def member(of: Role, role: Role) -> Iterator[None]:
    """Let one role be a member of another one meanwhile."""
    with owner() as connection:
        connection.execute(text(f'GRANT "{name_of(of)}" TO "{name_of(role)}"'))
    try:
        yield
    finally:
        with owner() as connection:
            connection.execute(text(f'REVOKE "{name_of(of)}" FROM "{name_of(role)}"'))


def test_roles_that_are_split_are_not_named() -> None:
    assert lines() == []


def test_a_host_that_does_not_know_the_owner_is_not_taken_for_one_that_works_as_it() -> None:
    assert lines(database_owner_url=settings.get().database_url) == []


@pytest.mark.parametrize(
    ("role", "loss"),
    [
        (Role.WORKERS, "workers can rewrite the ledger"),
        (Role.DOORS, "receiver and API can rewrite the ledger and make API keys"),
        (Role.RETENTION, "what blanks bodies can rewrite the ledger"),
    ],
)
def test_a_role_that_works_as_the_owner_is_named(role: Role, loss: str) -> None:
    variable = {Role.WORKERS: "database_url"}.get(role, f"database_{role}_url")

    found = lines(**{variable: settings.get().database_owner_url})

    expected = f"{variable.upper()} works as {name_of(Role.OWNER)}, who owns the tables: {loss}"
    assert expected in found


@pytest.mark.parametrize(
    ("role", "of", "loss"),
    [
        (Role.DOORS, Role.WORKERS, "receiver and API have the workers' rights"),
        (Role.WORKERS, Role.RETENTION, "workers can blank bodies"),
    ],
)
def test_a_membership_that_undoes_the_split_is_named(role: Role, of: Role, loss: str) -> None:
    with member(of, role):
        (line,) = lines()

    assert line.endswith(f" works as {name_of(role)}, a member of {name_of(of)}: {loss}")


def test_two_roles_under_one_name_are_named_once() -> None:
    (line,) = lines(database_doors_url=settings.get().database_url)
    assert line.startswith("DATABASE_DOORS_URL and DATABASE_URL both work as ")
