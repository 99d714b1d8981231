"""`billing balance --at`, `history` filters, `statement`, `outstanding` and `holds`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

import clock
from billing.credit import holds
from cli import output
from db.connections import engine
from db.session import transaction
from tests.between import once_read
from tests.billing.given import give, open_account, post_all, take
from tests.cli.runner import run, run_on_terminal
from tests.tampering import tamper

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clinic(database: str) -> None:
    """Credit at noon of the first, charges on the second and third, in UTC."""
    with clock.frozen(NOON):
        open_account(credits_=100)
    for day, key in ((1, "a"), (2, "b")):
        with clock.frozen(NOON + timedelta(days=day)):
            post_all(take(10, key=key, lead_id=f"L-{key}"))


@pytest.mark.parametrize(
    "at",
    ["2026-11-02T17:30:00+05:30", "2026-11-02T12:00:00Z", "2026-11-02T17:30", "2026-11-02 17:30"],
)
def test_a_time_without_a_zone_is_of_the_accounts_zone(at: str) -> None:
    past = run("balance", "clinic:42", "--at", at, "--json").json
    assert (past["at"], past["balance"], past["by"]) == ("2026-11-02T12:00:00+00:00", 90, "written")


def test_history_filters_and_pages() -> None:
    assert [r["version"] for r in run("history", "clinic:42", "--lead", "L-a", "--json").json] == [
        2
    ]
    assert [
        r["version"]
        for r in run("history", "clinic:42", "--kind", "lead_charge", "--limit", "1", "--json").json
    ] == [3]
    page = run("history", "clinic:42", "--limit", "2")
    assert page.err == "1 more: billing history clinic:42 --limit 2 --after 2\n"
    assert [r["version"] for r in run("history", "clinic:42", "--before", "2", "--json").json] == [
        1
    ]


def test_a_statement_is_of_local_days_as_table_json_and_csv() -> None:
    # The charge of the second, at noon UTC, is at 17:30 in the clinic's zone.
    period = ("statement", "clinic:42", "--from", "2026-11-02", "--to", "2026-11-02")
    assert run(*period, "--json").json == {
        "account": "clinic:42",
        "from": "2026-11-02",
        "to": "2026-11-02",
        "opening": 100,
        "movements": [{"kind": "lead_charge", "rows": 1, "amount": -10}],
        "closing": 90,
    }
    assert run(*period, "--csv").out == (
        "line,rows,amount\nopening,,100\nlead_charge,1,-10\nclosing,,90\n"
    )
    assert "closing" in run(*period).out
    backwards = run("statement", "clinic:42", "--from", "2026-11-02", "--to", "2026-11-01")
    assert backwards.exit_code == 2


def test_outstanding_credit_by_product() -> None:
    assert run("outstanding", "--json").json == [
        {"product": "clinic_leads", "paid": 0, "promotional": 80, "held": 0, "debt": 0}
    ]


def test_holds_are_listed_shown_and_voided() -> None:
    with transaction() as session:
        hold = holds.place(
            session, account="clinic:42", amount=30, idempotency_key="h", actor="api",
            expires_in=timedelta(hours=1),
        ).id  # fmt: skip
    assert run("holds", "list", "--json").json[0]["state"] == "open"
    assert run("balance", "clinic:42", "--json").json["available"] == 50
    assert run("holds", "void", str(hold), "--actor", "ops", "--json").json["state"] == "voided"
    assert [e["event"] for e in run("holds", "show", str(hold), "--json").json] == [
        "placed",
        "voided",
    ]
    assert run("holds", "list", "--state", "open", "--json").json == []
    open_account("clinic:43")
    assert run("holds", "list", "--account", "clinic:43", "--json").json == []
    assert [h["id"] for h in run("holds", "list", "--account", "clinic:42", "--json").json] == [
        hold
    ]
    assert "unknown account" in run("holds", "list", "--account", "clinic:44").error
    assert "there is no hold 999" in run("holds", "show", "999").error


def test_times_are_shown_in_the_accounts_zone_and_for_machines_in_utc() -> None:
    at = ("balance", "clinic:42", "--at", "2026-11-02T14:00:00+02:00")
    assert run(*at, "--json").json["at"] == "2026-11-02T12:00:00+00:00"
    assert "at\t2026-11-02T12:00:00+00:00\n" in run(*at).out
    assert "2026-11-02 17:30:00 Asia/Kolkata" in run_on_terminal(*at).out
    assert "2026-11-02 12:00:00 UTC" in run_on_terminal(*at, "--utc").out
    early = ("balance", "clinic:42", "--at", "1970-01-01T00:00:00+05:30")
    assert "1969-12-31 18:30:00 UTC" in run_on_terminal(*early, "--utc").out


@pytest.mark.parametrize(
    "command",
    [
        ("balance", "clinic:42", "--at", "0001-01-01T00:00:00+05:30"),
        ("balance", "clinic:42", "--at", "9999-12-31T23:59:59-05:30"),
        ("history", "clinic:42", "--since", "1969-12-31T23:59:59Z"),
        ("history", "clinic:42", "--until", "9001-01-01T00:00:00Z"),
        ("statement", "clinic:42", "--from", "0001-01-01", "--to", "2026-11-01"),
        ("statement", "clinic:42", "--from", "2026-11-01", "--to", "9999-12-31"),
    ],
    ids=" ".join,
)
def test_times_beyond_the_ledgers_are_wrong_usage(command: tuple[str, ...]) -> None:
    ran = run(*command)
    assert ran.exit_code == 2
    assert "is not in the years 1970 to 9000" in ran.err


@pytest.mark.parametrize("year", ["1970", "9000"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_first_and_the_last_year_can_be_asked_for(year: str, zone: str) -> None:
    run(
        "accounts", "create", "clinic:far", "--name", "x", "--product", "clinic_leads",
        "--timezone", zone,
    )  # fmt: skip
    period = ("--from", f"{year}-01-01", "--to", f"{year}-12-31")
    assert run("statement", "clinic:far", *period, "--json").json["closing"] == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("balance", "clinic:42", "--by", "event"), "--by needs --at"),
        (("history", "clinic:42", "--before", "-1"), "--before"),
        (("history", "clinic:42", "--before", "0"), "--before"),
        (("history", "clinic:42", "--before", str(2**63)), "--before"),
        (
            ("history", "clinic:42", "--since", "2026-11-02T00:00Z", "--until",
             "2026-11-02T05:29+05:30"),
            "--until must not be before --since",
        ),
        (
            ("statement", "clinic:42", "--from", "2026-11-01", "--to", "2026-11-01", "--json",
             "--csv"),
            "--csv or --json, not both",
        ),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other_are_wrong_usage(
    command: tuple[str, ...], message: str
) -> None:
    ran = run(*command)
    assert (ran.exit_code, ran.out) == (2, "")
    assert message in ran.err


def test_older_rows_are_offered_where_there_are_some_that_fit() -> None:
    one_left = run("history", "clinic:42", "--limit", "1", "--kind", "lead_charge")
    assert one_left.err == (
        "1 more: billing history clinic:42 --limit 1 --kind lead_charge --after 3\n"
    )
    for rest in (("--kind", "goodwill"), ("--kind", "lead_charge", "--before", "3")):
        ran = run("history", "clinic:42", "--limit", "1", *rest)
        assert (ran.exit_code, ran.err) == (0, "")
    assert run("history", "clinic:42", "--limit", "3").err == ""


@pytest.fixture
def most_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many ledger rows each statement asked for at most; three are loaded at a time."""
    monkeypatch.setattr(output, "ROWS_AT_A_TIME", 3)
    asked: list[int] = []

    def note(*arguments: object) -> None:
        statement, parameters = arguments[2], arguments[3]
        if "ORDER BY credit_transactions.version DESC" in str(statement):
            assert isinstance(parameters, dict)
            asked.append(parameters["param_1"])

    event.listen(engine(), "before_cursor_execute", note)
    yield asked
    event.remove(engine(), "before_cursor_execute", note)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 6, 7])
def test_a_whole_history_is_one_array_read_a_few_rows_at_a_time(
    rows: int, most_rows: list[int]
) -> None:
    open_account("clinic:1")
    texts = ["plain", 'a "quote"', "नमस्ते", "[brackets], {braces}"]
    post_all(
        *[
            give(1, key=f"k{n}", account="clinic:1", description=texts[n % len(texts)])
            for n in range(rows)
        ]
    )
    ran = run("history", "clinic:1", "--json")
    found = ran.json
    assert [row["version"] for row in found] == list(range(rows, 0, -1))
    assert ran.out == json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    assert len(most_rows) == rows // 3 + (1 if rows % 3 or not rows else 0)
    assert set(most_rows) == {3}
    some = run("history", "clinic:1", "--json", "--limit", "4").json
    assert [row["version"] for row in some] == list(range(rows, max(0, rows - 4), -1))


def test_a_statement_adds_up_while_others_write() -> None:
    period = ("statement", "clinic:42", "--from", "2026-11-04", "--to", "2026-11-04", "--json")

    def ends() -> tuple[int, int]:
        shown = run(*period).json
        return shown["opening"], shown["closing"]

    def commit_late() -> None:
        """A charge of the third was slow to be committed, and one of the fourth followed it."""
        for days, key in ((2.1, "slow"), (3, "next")):
            with clock.frozen(NOON + timedelta(days=days)):
                post_all(take(5, key=key))

    with once_read("credit_transactions", commit_late):
        shown = ends()

    assert shown == (80, 80)
    assert ends() == (75, 70)


def test_history_of_a_row_whose_time_cannot_be_is_one_line() -> None:
    tamper(
        "ALTER TABLE credit_transactions DROP CONSTRAINT ck_credit_transactions_event_at",
        "UPDATE credit_transactions SET event_at = '20000-01-01' WHERE version = 2",
    )
    for form in ((), ("--json",)):
        assert "`billing ledger verify` to find it" in run("history", "clinic:42", *form).error
    ran = run("ledger", "verify")
    assert ran.exit_code == 1
    assert "version 2" in ran.out
