"""`billing balance --at`, `history` filters, `statement`, `outstanding` and `holds`."""

from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing import holds
from db.session import transaction
from tests.billing.helpers import open_account, post_all, take
from tests.cli.runner import run

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clinic(database: str) -> None:
    """Credit at noon of the first, charges on the second and third, in UTC."""
    with clock.frozen(NOON):
        open_account(credits_=100)
    for day, key in ((1, "a"), (2, "b")):
        with clock.frozen(NOON + timedelta(days=day)):
            post_all(take(10, key=key, lead_id=f"L-{key}"))


def test_the_balance_at_an_instant_needs_a_zone() -> None:
    past = run("balance", "clinic:42", "--at", "2026-11-02T17:30:00+05:30", "--json").json
    assert (past["balance"], past["by"]) == (90, "written")
    assert "has no zone" in run("balance", "clinic:42", "--at", "2026-11-02T17:30:00").err
    assert run("balance", "clinic:42", "--at", "yesterday").exit_code == 2


def test_history_filters_and_pages() -> None:
    assert [r["version"] for r in run("history", "clinic:42", "--lead", "L-a", "--json").json] == [
        2
    ]
    assert [
        r["version"]
        for r in run("history", "clinic:42", "--kind", "lead_charge", "--limit", "1", "--json").json
    ] == [3]
    page = run("history", "clinic:42", "--limit", "2")
    assert "--before 2" in page.err
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
    assert "there is no hold 999" in run("holds", "show", "999").error
