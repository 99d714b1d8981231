"""`billing ledger verify` finds what somebody changed behind the ledger's back."""

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import clock
import settings
from billing.verification import daily_check as ledger_checks
from billing.verification import proof as verify
from cli.main import billing as command
from db.session import transaction
from tests.billing.given import post_all, take
from tests.cli.runner import Ran, give, open_clinic, run, run_on_terminal
from tests.tampering import tamper


@pytest.fixture(autouse=True)
def _books(database: str) -> None:
    """Two accounts, the first with a credit and two charges."""
    open_clinic("clinic:42")
    open_clinic("clinic:43")
    give("1000", "clinic:42", "--key", "welcome:42")
    give("500", "clinic:43", "--key", "welcome:43")
    post_all(take(180, key="lead:L-1:charge"))
    post_all(take(250, key="lead:L-2:charge"))


def test_clean_books_are_told_to_be_clean() -> None:
    ran = run("ledger", "verify")

    assert (ran.exit_code, ran.err) == (0, "")
    assert ran.out == "The ledger is clean: 4 rows on 2 accounts.\n"
    assert run("ledger", "verify", "--json").json == {
        "ok": True, "accounts": 2, "transactions": 4, "breaches": [], "more_breaches": 0,
    }  # fmt: skip


def test_empty_books_are_clean() -> None:
    tamper("TRUNCATE accounts, credit_lots CASCADE")

    assert run("ledger", "verify").out == "The ledger is clean: 0 rows on 0 accounts.\n"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(
            "UPDATE credit_transactions SET amount = -18 WHERE idempotency_key = 'lead:L-1:charge'",
            "version 2",
            id="an amount",
        ),
        pytest.param(
            "UPDATE credit_transactions SET description = 'x' WHERE idempotency_key ="
            " 'lead:L-1:charge'",
            "version 2",
            id="a description",
        ),
        pytest.param(
            "UPDATE credit_transactions SET event_at = event_at - interval '1 month'"
            " WHERE idempotency_key = 'lead:L-1:charge'",
            "version 2",
            id="when it happened",
        ),
        pytest.param(
            "UPDATE credit_transactions SET actor = 'nobody' WHERE version = 3",
            "version 3",
            id="who did it",
        ),
        pytest.param(
            "UPDATE credit_transactions SET lead_id = 'L-9' WHERE version = 3",
            "version 3",
            id="which lead",
        ),
        pytest.param(
            "UPDATE credit_transactions SET balance_after = 821 WHERE version = 2",
            "version 2",
            id="a running balance",
        ),
        pytest.param(
            "DELETE FROM lot_movements WHERE charge_id IN"
            " (SELECT id FROM credit_transactions WHERE version = 2);"
            "DELETE FROM credit_transactions WHERE version = 2",
            "version 3",
            id="a row taken out",
        ),
        pytest.param(
            "DELETE FROM lot_movements WHERE charge_id IN"
            " (SELECT id FROM credit_transactions WHERE version = 3);"
            "DELETE FROM credit_transactions WHERE version = 3",
            "last version 2",
            id="the newest row taken out",
        ),
        pytest.param(
            "UPDATE accounts SET balance = 99999 WHERE ref = 'clinic:42'", "99999", id="a balance"
        ),
        pytest.param(
            "UPDATE credit_lots SET remaining = amount WHERE amount = 1000",
            "1000 of 1000 remain",
            id="what is left",
        ),
        pytest.param(
            "DELETE FROM lot_movements", "movements 0", id="where the charges took it from"
        ),
        pytest.param(
            "UPDATE transaction_kinds SET kind = 'gift' WHERE kind = 'goodwill'",
            "house",
            id="the house's side",
        ),
        pytest.param(
            "UPDATE accounts SET head_hash = '\\x00' WHERE ref = 'clinic:42'",
            "they differ",
            id="the head of the chain",
        ),
    ],
)
def test_a_change_behind_the_ledgers_back_is_found_and_named(change: str, named: str) -> None:
    tamper(change)

    table, document = run("ledger", "verify"), run("ledger", "verify", "--json")

    assert (table.exit_code, document.exit_code) == (1, 1)
    found = json.loads(document.out)
    assert found["ok"] is False
    assert any(named in breach["detail"] for breach in found["breaches"])
    assert all(set(breach) == {"invariant", "account", "detail"} for breach in found["breaches"])
    assert named in _unwrapped(table)


def test_only_the_account_at_fault_is_named() -> None:
    tamper("UPDATE credit_transactions SET description = 'x' WHERE version = 2")

    breaches = json.loads(run("ledger", "verify", "--json").out)["breaches"]

    assert {breach["account"] for breach in breaches} == {"clinic:42"}


def test_the_row_at_fault_is_named_by_its_number() -> None:
    [row] = [r for r in run("history", "clinic:42", "--json").json if r["version"] == 2]
    tamper("UPDATE credit_transactions SET amount = -18 WHERE version = 2")

    assert f"transaction {row['id']}" in run("ledger", "verify", "--json").out


# --- processes and anchors ----------------------------------------------------------------------


def test_the_number_of_jobs_may_be_chosen() -> None:
    assert run("ledger", "verify", "--jobs", "1").exit_code == 0
    for wrong in ("0", "-1", "many", "1000"):
        assert run("ledger", "verify", "--jobs", wrong).exit_code == 2


def test_jobs_of_a_large_ledger_are_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "ROWS_FOR_A_PROCESS", 1)
    tamper("UPDATE credit_transactions SET actor = 'nobody' WHERE version = 3")

    ran = run("ledger", "verify", "--jobs", "2", "--json")

    assert [breach["account"] for breach in json.loads(ran.out)["breaches"]] == ["clinic:42"]


def test_an_anchor_is_kept_and_verified_against(tmp_path: Path) -> None:
    # Given an anchor in either form, and business that went on
    plain, document = tmp_path / "anchor.txt", tmp_path / "anchor.json"
    plain.write_text(run("ledger", "anchor").out)
    document.write_text(run("ledger", "anchor", "--json").out)
    total = json.loads(document.read_text())["total"]
    give("10", "clinic:43", "--key", "later")
    # Then the books still carry it, and the digest to compare with a note elsewhere is shown
    for file in (plain, document):
        ran = run("ledger", "verify", "--against", str(file))
        assert (ran.exit_code, ran.err) == (0, "")
        assert f"with 2 accounts, sha256 {total['sha256']}" in ran.out
        found = run("ledger", "verify", "--against", str(file), "--json").json
        assert found["anchor"]["sha256"] == total["sha256"]
        assert found["ok"] is True


def test_an_anchor_may_come_through_a_pipe(tmp_path: Path) -> None:
    anchor = run("ledger", "anchor").out

    ran = CliRunner().invoke(command, ["ledger", "verify", "--against", "-"], input=anchor)

    assert (ran.exit_code, "It matches the anchor" in ran.stdout) == (0, True)


def test_what_the_anchor_says_and_the_books_do_not_is_a_breach(tmp_path: Path) -> None:
    file = tmp_path / "anchor.txt"
    file.write_text(run("ledger", "anchor").out)
    tamper("DELETE FROM accounts WHERE ref = 'clinic:43'")

    ran = run("ledger", "verify", "--against", str(file))

    assert ran.exit_code == 1
    assert "clinic:43" in ran.out
    assert "the account is missing" in _unwrapped(ran)


def test_an_anchor_of_nothing_is_said_to_vouch_for_nothing(tmp_path: Path) -> None:
    # Given an anchor that was taken before there was anything, or made to look so
    empty = hashlib.sha256(b"").hexdigest()
    file = tmp_path / "anchor.txt"
    file.write_text(
        "# billing ledger anchor 1, taken at 2026-11-21T12:00:00+00:00\n"
        f"# 0 accounts, 0 transactions, sha256 {empty}\n"
    )
    for form in ((), ("--json",)):
        ran = run("ledger", "verify", "--against", str(file), *form)
        assert ran.exit_code == 0
        assert "WARNING" in ran.err
        assert "proves nothing about the 4 rows" in ran.err
        assert "still carries" not in ran.out
    found = run("ledger", "verify", "--against", str(file), "--json").json["anchor"]
    assert (found["accounts"], found["transactions"]) == (0, 0)


def test_a_file_that_is_no_anchor_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "anchor.txt"
    file.write_bytes(b"\xff\x00")

    assert "not an anchor" in run("ledger", "verify", "--against", str(file)).error
    assert run("ledger", "verify", "--against", str(tmp_path / "none")).exit_code == 2


def test_no_anchor_is_taken_of_books_that_disagree_with_themselves() -> None:
    tamper("UPDATE accounts SET version = 7 WHERE ref = 'clinic:42'")

    ran = run("ledger", "anchor")

    assert ran.exit_code == 1
    assert ran.err.startswith("Error: account 'clinic:42' does not match")


def test_a_terminal_shows_how_far_it_is() -> None:
    terminal, its_end = pty.openpty()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("billing")), "ledger", "verify"],
        env={**os.environ, "TERM": "xterm"}, cwd=settings.PROJECT_DIR,
        stdout=subprocess.PIPE, stderr=its_end, check=False, timeout=60,
    )  # fmt: skip
    os.close(its_end)

    assert done.returncode == 0
    assert b"verifying" in os.read(terminal, 100_000)
    os.close(terminal)


def _unwrapped(ran: Ran) -> str:
    return re.sub(r"[│\s]+", " ", ran.out)


def test_the_daily_checks_are_listed() -> None:
    assert "see that beat runs" in run_on_terminal("ledger", "checks").out
    with transaction() as session:
        check_id = ledger_checks.start_if_due(session, now=clock.now())
    assert check_id is not None
    assert run("ledger", "checks", "--json").json[0]["finished_at"] is None
    with transaction() as session:
        ledger_checks.finish(session, check_id, verify.Report(3, 7, []), now=clock.now())
    found = run("ledger", "checks", "--json").json
    assert [(c["accounts"], c["transactions"], c["breaches"]) for c in found] == [(3, 7, 0)]
