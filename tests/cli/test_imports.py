"""`billing import accounts`: dry run, safe repeats, and a reason for each refused line."""

import json
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import text

import settings
from billing import audit
from billing.accounts.opening_balances import Opened, OpeningLine, open_accounts
from cli import imports
from db.session import transaction
from tests.billing.given import assert_ledger_is_clean, rows
from tests.cli.runner import Ran, open_clinic, process, run
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("database")

HEAD = "ref,name,product,timezone,balance,overdraft_limit,low_balance\n"
GOOD = (
    "clinic:1,City Clinic,clinic_leads,Asia/Kolkata,1500,100,200\n"
    'pharma:2,"Pharma, Ltd",pharmapulse_one,,-20,,\n'
    "clinic:3,Nil,clinic_leads,Europe/Berlin,0,0,\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clinics.csv"


def import_(file: Path, *more: str) -> Ran:
    return run("import", "accounts", str(file), "--actor", "ops", *more)


def accounts() -> list[tuple[object, ...]]:
    return list(
        rows(
            "SELECT ref, name, product, timezone, balance, overdraft_limit, low_balance,"
            " alert_level FROM accounts ORDER BY ref"
        )
    )


EXPECTED = [
    ("clinic:1", "City Clinic", "clinic_leads", "Asia/Kolkata", 1_500, 100, 200, "ok"),
    ("clinic:3", "Nil", "clinic_leads", "Europe/Berlin", 0, 0, None, "exhausted"),
    ("pharma:2", "Pharma, Ltd", "pharmapulse_one", "Asia/Kolkata", -20, 0, None, "in_debt"),
]


def test_accounts_are_opened_with_what_they_had(file: Path) -> None:
    file.write_text(HEAD + GOOD)
    assert import_(file, "--json").json == {
        "dry_run": False, "lines": 3, "created": 3, "already_there": 0, "credits": 1_480,
        "unfinished": 0, "refused": [],
    }  # fmt: skip
    assert accounts() == EXPECTED
    # And what was brought along counts as bought
    assert rows("SELECT source, amount FROM credit_lots") == [("purchase", 1_500)]
    assert rows(
        "SELECT idempotency_key, kind, actor FROM credit_transactions ORDER BY amount"
    ) == [
        ("opening:pharma:2", "opening_balance", "ops"),
        ("opening:clinic:1", "opening_balance", "ops"),
    ]  # fmt: skip
    assert_ledger_is_clean()


def test_a_dry_run_reports_the_same_and_changes_nothing(file: Path) -> None:
    file.write_text(HEAD + GOOD)
    found = import_(file, "--dry-run", "--json").json
    assert (found["dry_run"], found["created"], found["credits"]) == (True, 3, 1_480)
    assert accounts() == []


def test_a_file_may_be_imported_again(file: Path) -> None:
    file.write_text(HEAD + GOOD)
    import_(file)
    again = import_(file, "--json").json
    assert (again["created"], again["already_there"], again["credits"]) == (0, 3, 0)
    assert accounts() == EXPECTED
    assert_ledger_is_clean()


def test_refused_lines_have_a_reason_and_stop_nobody(file: Path) -> None:
    open_clinic("clinic:7", name="There already")
    file.write_text(
        HEAD
        + "clinic:1,City Clinic,clinic_leads,,1500,,\n"
        + "clinic:1,City Clinic,clinic_leads,,1500,,\n"
        + "clinic 2,Bad ref,clinic_leads,,,,\n"
        + "clinic:3,,clinic_leads,,,,\n"
        + "clinic:4,Bad product,bread,,,,\n"
        + "clinic:5,Bad zone,clinic_leads,Asia/Atlantis,,,\n"
        + 'clinic:6,Bad balance,clinic_leads,,"1,500",,\n'
        + "clinic:7,Another,clinic_leads,,10,,\n"
        + "clinic:8,Too short\n"
        + "clinic:9,Too much,clinic_leads,,9999999999999,,\n"
    )
    ran = import_(file, "--json")
    assert ran.exit_code == 1
    found = json.loads(ran.out)
    assert [(r["line"], r["ref"]) for r in found["refused"]] == [
        (3, "clinic:1"), (4, "clinic 2"), (5, "clinic:3"), (6, "clinic:4"), (7, "clinic:5"),
        (8, "clinic:6"), (9, "clinic:7"), (10, "clinic:8"), (11, "clinic:9"),
    ]  # fmt: skip
    reasons = " | ".join(refused["reason"] for refused in found["refused"])
    for shown in (
        "same ref as line 2", "must be kind:id", "name", "product must be one of", "timezone",
        "balance must be a whole number", "already exists", "more or fewer fields", "amount",
    ):  # fmt: skip
        assert shown in reasons, shown
    assert [account[0] for account in accounts()] == ["clinic:1", "clinic:7"]
    assert_ledger_is_clean()


def test_an_opening_balance_that_differs_from_the_first_is_refused(file: Path) -> None:
    file.write_text("ref,name,product,balance\nclinic:1,City,clinic_leads,100\n")
    import_(file)
    file.write_text("ref,name,product,balance\nclinic:1,City,clinic_leads,200\n")
    ran = import_(file)
    assert ran.exit_code == 1
    assert "amount was 100 and is now 200" in ran.out
    assert accounts()[0][4] == 100


def test_lines_without_a_ref_are_told_to_miss_it(file: Path) -> None:
    file.write_text(
        "name,ref,product\nA,,clinic_leads\nB, ,clinic_leads\nC,clinic:1,clinic_leads\n"
    )
    ran = import_(file, "--json")
    assert ran.exit_code == 1
    found = json.loads(ran.out)
    assert [(r["line"], r["reason"]) for r in found["refused"]] == [
        (2, "ref is missing"), (3, "ref is missing"),
    ]  # fmt: skip
    assert found["created"] == 1


def test_a_file_as_a_spreadsheet_saves_it_is_read(file: Path) -> None:
    file.write_bytes(
        b"\xef\xbb\xbf" + 'ref,name,product\r\nclinic:1,"Café\r\n",clinic_leads\r\n'.encode()
    )
    assert import_(file, "--json").json["created"] == 1
    assert accounts()[0][:2] == ("clinic:1", "Café")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clinic:1,City Clinic,clinic_leads,,1500,900,200", "with other overdraft_limit (100, not"),
        ("clinic:1,City Clinic,clinic_leads,,1500,0,", "with other overdraft_limit (100, not 0)"),
        ("clinic:1,City Clinic,clinic_leads,,1500,,0", "with other low_balance (200, not 0)"),
        ("clinic:1,City,clinic_leads,Asia/Dubai,,100,9", "name ('City Clinic', not 'City'), timez"),
        ("clinic:3,Nil,clinic_leads,,,,500", "with other low_balance (None, not 500)"),
    ],
)
def test_an_account_that_is_there_otherwise_is_refused_by_field(
    file: Path, line: str, message: str
) -> None:
    file.write_text(HEAD + GOOD)
    import_(file)
    file.write_text(HEAD + line + "\n")
    ran = import_(file, "--json")
    assert ran.exit_code == 1
    found = json.loads(ran.out)
    assert found["already_there"] == 0
    assert message in found["refused"][0]["reason"]
    assert "already exists" in found["refused"][0]["reason"]
    assert accounts() == EXPECTED


def test_what_a_line_does_not_give_may_be_anything(file: Path) -> None:
    file.write_text(HEAD + GOOD)
    import_(file)
    file.write_text("ref,name,product\nclinic:1,City Clinic,clinic_leads\n")
    assert import_(file, "--json").json["already_there"] == 1
    file.write_text(HEAD + "clinic:1,City Clinic,clinic_leads,,,,\n")
    assert import_(file, "--json").json["already_there"] == 1


def test_more_lines_than_one_transaction_takes(file: Path) -> None:
    lines = [f"clinic:{number},Clinic,clinic_leads,{number}\n" for number in range(1, 452)]
    file.write_text("ref,name,product,balance\n" + "".join(lines))
    assert import_(file, "--json").json["created"] == 451
    assert rows("SELECT count(*), sum(balance) FROM accounts") == [(451, sum(range(452)))]


@pytest.mark.usefixtures("many_connections")
def test_two_imports_in_opposite_order_do_not_deadlock() -> None:
    # Given the same lines from the first to the last and from the last to the first
    lines = [
        OpeningLine(n, f"clinic:{n}", "Clinic", "clinic_leads", None, n) for n in range(2, 202)
    ]
    together = Barrier(2)

    def open_all(order: list[OpeningLine]) -> list[Opened]:
        with audit.asked_by("test", door="cli"), transaction() as session:
            together.wait()
            return open_accounts(session, order, actor="ops")

    # When both are opened at once
    with ThreadPoolExecutor(2) as pool:
        forth, back = pool.map(open_all, (lines, lines[::-1]))
    # Then one waits for the other, and each result stands where its line does
    assert [opened.line for opened in forth] == lines
    assert [opened.line for opened in back] == lines[::-1]
    assert {f.created for f in forth} | {b.created for b in back} == {True, False}
    assert sum(opened.credits for opened in [*forth, *back]) == sum(range(2, 202))
    assert_ledger_is_clean()


def deadlocks(ref: str, *, times: int) -> None:
    """Let PostgreSQL end so many transactions that open the account as it ends a deadlock."""
    with owner() as connection:
        connection.execute(text("CREATE SEQUENCE tried"))
        connection.execute(
            text(
                "CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
                f" $$ BEGIN IF NEW.ref = '{ref}' AND nextval('tried') <= {times} THEN"
                " RAISE 'deadlock detected' USING ERRCODE = 'deadlock_detected'; END IF;"
                " RETURN NEW; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER deadlock BEFORE INSERT ON accounts FOR EACH ROW"
                " EXECUTE FUNCTION deadlock()"
            )
        )


def test_a_chunk_that_met_a_deadlock_is_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "PAUSE_SECONDS", 0)
    deadlocks("clinic:3", times=imports.ATTEMPTS - 1)
    file.write_text(HEAD + GOOD)
    found = import_(file, "--json").json
    assert (found["created"], found["credits"], found["unfinished"]) == (3, 1_480, 0)
    assert accounts() == EXPECTED


def test_an_import_that_an_error_ends_tells_what_went_in(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a second chunk that meets a deadlock each time, and a line that is refused
    monkeypatch.setattr(imports, "PAUSE_SECONDS", 0)
    deadlocks("clinic:250", times=imports.ATTEMPTS)
    lines = [f"clinic:{number},Clinic,clinic_leads,1\n" for number in range(1, 452)]
    file.write_text("ref,name,product,balance\nclinic:7,,clinic_leads,1\n" + "".join(lines))
    # When it is imported
    ran = import_(file, "--json")
    # Then the report comes first, and the error after it
    assert ran.error == "deadlock detected"
    found = json.loads(ran.out)
    assert (found["lines"], found["created"], found["credits"]) == (452, 199, 199)
    assert found["unfinished"] == 251
    assert [refused["line"] for refused in found["refused"]] == [2, 9]
    # And the same file brings in the rest
    assert json.loads(import_(file, "--json").out)["created"] == 251
    assert_ledger_is_clean()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column ref, name, product"),
        (b"ref,name\n", "no column product"),
        (b"ref,name,product,colour\n", "unknown column 'colour'"),
        (b"ref,name,product,balance,balance\n", "has the column balance more than once"),
        (b"ref,name,product\nclinic:1,\xff,x\n", "line 2 is not UTF-8 (byte 0xff)"),
        (b"ref,name,product\r\nclinic:1,x,y\r\nclinic:2,Caf\xe9,x\r\n", "line 3 is not UTF-8"),
        (b"\xef\xbb\xbfref,name,product\n\xe9:1,x,y\n", "line 2 is not UTF-8 (byte 0xe9)"),
        ("ref,name,product\n".encode("utf-16"), "line 1 is not UTF-8 (byte 0xff)"),
        (b'ref,name,product\nclinic:1,"x\n', "line 2 is not CSV"),
    ],
)
def test_what_is_no_such_file_is_one_line(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    assert message in import_(file).error
    assert accounts() == []


def test_a_terminal_shows_how_far_it_is(file: Path) -> None:
    file.write_text(HEAD + GOOD)
    terminal, its_end = pty.openpty()
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("billing")),
            "import", "accounts", str(file), "--actor", "ops",
        ],
        env={**os.environ, "TERM": "xterm"}, cwd=settings.PROJECT_DIR,
        stdout=subprocess.PIPE, stderr=its_end, check=False, timeout=60,
    )  # fmt: skip
    os.close(its_end)

    assert done.returncode == 0
    assert b"importing" in os.read(terminal, 100_000)
    os.close(terminal)


def test_who_reads_the_output_by_a_pipe_sees_no_progress(file: Path) -> None:
    file.write_text(HEAD + GOOD)

    for form in ((), ("--json",)):
        ran = process("import", "accounts", str(file), "--actor", "ops", *form)
        assert (ran.exit_code, ran.err) == (0, "")
        assert "importing" not in ran.out
        assert "\x1b" not in ran.out
