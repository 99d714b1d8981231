"""The audit log names the process' user, whatever the environment says."""

import os
import pwd

import pytest

from cli.actor import process_actor
from tests.billing.given import rows
from tests.cli.runner import open_clinic, process

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(autouse=True)
def no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)


@pytest.mark.parametrize("name", ["LOGNAME", "USER", "LNAME", "USERNAME"])
def test_the_environment_cannot_say_who_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "somebody_else")
    assert process_actor() == f"cli:{ME}"


def test_a_user_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_242_424)
    assert process_actor() == "cli:4242424"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("alice", "alice"),
        ("ops.team@example-corp$", "ops.team@example-corp$"),
        ("a b) (\n\x1b[31m", "a?b??????31m"),
        ("\udcff\u202e", "??"),
        ("x" * 500, "x" * 64),
    ],
)
def test_who_asked_sudo_stands_beside_it_in_plain_letters(
    asked: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", asked)
    assert process_actor() == f"cli:{ME} (sudo {name})"


@pytest.mark.usefixtures("database")
def test_names_that_are_no_text_do_no_harm_to_the_command() -> None:
    open_clinic()
    ran = process(
        "accounts", "set", "clinic:42", "--name", "New", "--json",
        environment={"LOGNAME": "\udcff", "SUDO_USER": "\udcfe"},
    )  # fmt: skip
    assert ran.json["name"] == "New"
    assert rows("SELECT actor, door FROM billing_audit_log WHERE action = 'account.changed'") == [
        (f"cli:{ME} (sudo ?)", "cli")
    ]
