"""Tables show every text exactly as it was recorded, and nothing a pipe would choke on."""

import re

import pytest

from tests.billing.given import give as posting_of
from tests.billing.given import post_all
from tests.cli.runner import give, open_clinic, process, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database")

COLOURFUL = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
TRICKY = [
    "[red]x[/red]",
    "[/red]",
    "[bold",
    "]",
    "\\[red]x",
    "\\\\[/red]",
    "ends in a backslash\\",
    "C:\\[temp]\\",
    "[link=https://example.com]x[/link]",
    "[[1, 2]]",
    ":smile: and :100:",
    "{}",
    "%s",
    "नमस्ते é ß 漢字",
]


def test_names_are_printed_literally() -> None:
    for number, name in enumerate(TRICKY):
        open_clinic(f"clinic:{number}", name=name)

    listed = run_on_terminal("accounts", "list", width=400).out
    for number, name in enumerate(TRICKY):
        assert name in listed
        assert name in run_on_terminal("accounts", "show", f"clinic:{number}").out


def test_descriptions_are_printed_literally() -> None:
    open_clinic()
    for reason in TRICKY:
        assert run("credit", "clinic:42", "1", "--reason", reason, "--actor", "a").exit_code == 0

    history = run_on_terminal("history", "clinic:42", "--wide", width=400).out
    for reason in TRICKY:
        assert reason in history


def test_a_key_is_printed_literally_though_a_part_of_it_names_a_picture() -> None:
    open_clinic()
    given = give("5", "clinic:42", "--key", "mine:100:refund")
    post_all(posting_of(5, key="lead:fire:refund"))

    history = run("history", "clinic:42").out

    assert "mine:100:refund" in given.out
    assert "mine:100:refund" in history
    assert "lead:fire:refund" in history


def test_piped_output_is_plain_text() -> None:
    open_clinic()
    give("1234567")

    for command in (
        ("accounts", "list"),
        ("accounts", "show", "clinic:42"),
        ("balance", "clinic:42"),
        ("history", "clinic:42"),
        ("inbox", "list"),
        ("leads", "list"),
        ("ledger", "verify"),
        ("--help",),
    ):
        ran = run(*command, environment=COLOURFUL)

        assert (ran.exit_code, ran.err) == (0, "")
        assert not CONTROL.search(ran.out)


def test_output_of_a_process_into_a_pipe_is_plain_and_wide() -> None:
    open_clinic(name="x" * 100)

    ran = process("accounts", "list", environment={**COLOURFUL, "COLUMNS": "40"})

    assert (ran.exit_code, ran.err) == (0, "")
    assert not CONTROL.search(ran.out)
    assert "x" * 100 in ran.out


def test_numbers_are_grouped_for_people_and_plain_for_machines() -> None:
    open_clinic()
    give("1234567")

    assert "1,234,567 credits" in run_on_terminal("balance", "clinic:42").out
    assert "balance\t1234567\n" in run("balance", "clinic:42").out
    assert '"balance": 1234567' in run("balance", "clinic:42", "--json").out
