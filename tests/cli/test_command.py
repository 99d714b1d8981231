"""The command as a whole: its help, its usage errors, and what it says when nothing is there."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from devstack import ports
from tests.cli.runner import give, open_clinic, process, run
from tests.conftest import owner

COMMANDS: list[tuple[str, ...]] = [
    (),
    ("accounts",),
    ("accounts", "create"),
    ("accounts", "show"),
    ("accounts", "list"),
    ("accounts", "set"),
    ("balance",),
    ("clock",),
    ("clock", "advance"),
    ("clock", "show"),
    ("clock", "to"),
    ("clock", "watch"),
    ("credit",),
    ("grants",),
    ("grants", "run"),
    ("history",),
    ("inbox",),
    ("inbox", "list"),
    ("inbox", "show"),
    ("inbox", "replay"),
    ("leads",),
    ("leads", "list"),
    ("ledger",),
    ("ledger", "verify"),
    ("migrate",),
    ("payments",),
    ("payments", "list"),
    ("payments", "show"),
    ("plans",),
    ("plans", "activate"),
    ("plans", "list"),
    ("plans", "renew"),
    ("plans", "show"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_says_what_each_command_and_option_is_for(command: Sequence[str]) -> None:
    for flag in ("--help", "-h"):
        ran = run(*command, flag)

        assert (ran.exit_code, ran.err) == (0, "")
        usage, purpose = ran.out.split("\n\n")[:2]
        assert usage.startswith(f"Usage: {' '.join(('billing', *command))}")
        assert len(purpose.strip()) > 15
        options = ran.out.partition("Options:\n")[2].partition("Commands:\n")[0]
        for option in re.split(r"\n  (?=-)", options):
            assert re.search(r"\s{2,}\w", option.strip()), f"an option without a word: {option}"


def test_help_begins_with_examples_that_can_be_typed() -> None:
    shown = run("--help").out

    lines = shown.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["billing", verb] for verb in ("accounts", "credit", "history", "inbox")
    ]
    clock = run("clock", "--help").out
    assert "\n    billing clock advance 30d\n" in clock
    assert "\\b" not in shown + clock


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("grants", "run", "--help")])
def test_help_needs_no_stack(tmp_path: Path, arguments: Sequence[str]) -> None:
    nothing = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}

    ran = subprocess.run(
        [Path(sys.executable).with_name("billing"), *arguments],
        env={**nothing, "BILLING_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "billing" in ran.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ("acounts",),
        ("accounts", "creat"),
        ("accounts", "create"),
        ("accounts", "create", "clinic:1", "--name", "x"),
        ("accounts", "create", "clinic:1", "--product", "clinic_leads"),
        ("balance",),
        ("balance", "a", "b"),
        ("balance", "clinic:42", "--jsn"),
        ("history", "clinic:42", "--limit", "many"),
        ("inbox", "replay", "one"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2_and_shows_the_way(wrong: Sequence[str]) -> None:
    ran = run(*wrong)

    assert ran.exit_code == 2
    assert ran.out == ""
    assert ran.err.startswith("Usage: billing")
    assert "Error: " in ran.err


@pytest.mark.usefixtures("database")
def test_the_installed_command_does_the_same() -> None:
    created = process(
        "accounts", "create", "clinic:42", "--name", "x", "--product", "clinic_leads", "--json"
    )
    assert created.json["account"] == "clinic:42"
    assert process("balance", "clinic:42", "--json").json == {
        "account": "clinic:42", "balance": 0, "held": 0, "available": 0, "overdraft_limit": 0,
    }  # fmt: skip
    assert "unknown account 'clinic:43'" in process("balance", "clinic:43").error
    assert process("balance").exit_code == 2
    assert process("--version").out.startswith("billing, version ")


@pytest.mark.usefixtures("database")
def test_a_reader_that_has_seen_enough_gets_no_complaint() -> None:
    open_clinic()
    give("1")
    billing = Path(sys.executable).with_name("billing")

    # When the reader is gone before the first line is written
    piped = subprocess.Popen(
        [billing, "history", "clinic:42"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert piped.stdout is not None
    piped.stdout.close()
    _, stderr = piped.communicate(timeout=30)

    assert stderr == b""


@pytest.mark.usefixtures("database")
def test_migrate_can_be_repeated() -> None:
    assert run("migrate").exit_code == 0
    ran = run("migrate")
    assert ran.exit_code == 0, ran.err
    nothing, up_to_date = ran.out.splitlines()
    assert nothing.startswith("Nothing to migrate: database billing_test_")
    assert up_to_date == "The schema is up to date."


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("command", [("--help",), ("migrate",), ("accounts", "list")])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLOWER_PORT", "many"),
        ("API_PORT", "tcp://10.96.0.12:8001"),
        ("FLOWER_BASIC_AUTH", "ops:x"),
        ("LEAD_WEBHOOK_SECRETS", None),
        ("LEAD_WEBHOOK_SECRETS", "s3cr3t-pass"),
        ("RAZORPAY_WEBHOOK_SECRETS", None),
        ("RAZORPAY_WEBHOOK_SECRETS", "s3cr3t-pass"),
        ("STRIPE_WEBHOOK_SECRETS", '["s3cr3t-pass'),
        ("STRIPE_API_BASE", "s3cr3t-pass"),
        ("RAZORPAY_KEY_SECRET", None),
        ("API_KEYS", "s3cr3t-pass"),
        ("RETENTION_DEAD_DAYS", "1"),
        ("LOG_LEVEL", "LOUD"),
        ("REDIS_URL", None),
        ("REDIS_URL", "redis://ops:s3cr3t-pass@broker/0?max_connections=5"),
    ],
)
def test_a_command_judges_no_setting_that_only_a_server_needs(
    command: Sequence[str], variable: str, value: str | None, tmp_path: Path
) -> None:
    no_stack = {"BILLING_DATA_DIR": str(tmp_path)}
    ran = run(*command, environment={**no_stack, variable: value})
    assert (ran.exit_code, ran.err) == (0, "")


@pytest.mark.parametrize("command", [("balance", "clinic:42"), ("migrate",), ("ledger", "verify")])
@pytest.mark.parametrize("server", ["/billing?host=/nonexistent", "127.0.0.1:{port}/billing"])
def test_an_unreachable_database_is_one_line(command: Sequence[str], server: str) -> None:
    url = "postgresql://ops:s3cr3t-pass@" + server.format(port=ports.find_free())

    ran = run(*command, environment={"DATABASE_URL": url, "DATABASE_OWNER_URL": None})

    assert "PostgreSQL cannot be reached" in ran.error
    assert "DATABASE_URL" in ran.error
    assert "make run" in ran.error
    assert "s3cr3t-pass" not in ran.err


@pytest.mark.parametrize("command", [("balance", "clinic:42"), ("ledger", "verify")])
def test_a_database_without_our_tables_is_sent_to_migrate(
    database: str, command: Sequence[str]
) -> None:
    # Given a database that nobody migrated
    with owner() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))

    assert "billing migrate" in run(*command).error

    assert run("migrate").exit_code == 0
    assert run("ledger", "verify").exit_code == 0


def test_without_a_stack_the_way_to_one_is_shown(tmp_path: Path) -> None:
    nothing = {"DATABASE_URL": None, "REDIS_URL": None, "BILLING_DATA_DIR": str(tmp_path)}

    for ran in (
        run("balance", "clinic:42", environment=nothing),
        process("balance", "clinic:42", environment=nothing),
    ):
        assert "DATABASE_URL" in ran.error
        assert "make run" in ran.error
        assert f"no development stack is up in {tmp_path}" in ran.error


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ("balance clinic:42", "DATABASE_URL", "mysql://ops:s3cr3t-pass@db/billing"),
        ("balance clinic:42", "DATABASE_URL", "postgresql://ops:s3cr3t-pass@db:port/billing"),
        ("migrate", "DATABASE_OWNER_URL", "postgresql://ops:s3cr3t-pass@db:port/billing"),
        ("migrate", "DATABASE_DOORS_URL", "postgresql://ops:s3cr3t-pass@db:port/billing"),
        ("api-keys create x --product clinic_leads", "API_KEYS", "s3cr3t-pass"),
        ("disputes list --since 2026-11-30", "BILLING_TIMEZONE", "s3cr3t-pass"),
        ("balance clinic:42", "BILLING_DEVELOPMENT_CLOCK", "/with/a/live/key"),
    ],
)
def test_a_variable_that_a_command_needs_and_makes_no_sense_is_one_line_with_its_name(
    database: str, command: str, variable: str, value: str
) -> None:
    live = {"STRIPE_API_KEY": "sk_live_s3cr3t-pass"} if "CLOCK" in variable else {}
    ran = run(*command.split(), environment={variable: value, **live})

    assert variable in ran.error
    assert "s3cr3t-pass" not in ran.err


def test_a_catalog_that_is_not_there_is_one_line(database: str, tmp_path: Path) -> None:
    ran = run(
        "accounts", "create", "clinic:42", "--name", "x", "--product", "clinic_leads",
        environment={"BILLING_CATALOG": str(tmp_path / "catalog.toml")},
    )  # fmt: skip

    assert "catalog.toml: cannot be read: No such file" in ran.error


@pytest.mark.usefixtures("database")
def test_an_old_terminal_encoding_is_no_reason_to_fail() -> None:
    open_clinic(name="Klinik Süd नमस्ते")

    for arguments in (("accounts", "list"), ("accounts", "list", "--json")):
        ran = process(*arguments, environment={"PYTHONIOENCODING": "ascii"})

        assert ran.exit_code == 0, ran.err
    assert os.environ.get("PYTHONIOENCODING") is None
