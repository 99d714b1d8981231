"""`billing accounts`, `balance`, `credit` and `history`."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

import clock
from billing.accounts import review as account_review
from db.session import transaction
from tests.billing.given import assert_ledger_is_clean, post_all, rows, take
from tests.cli.runner import give, open_clinic, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database")


def test_a_new_account_is_shown_as_it_was_opened() -> None:
    created = open_clinic(overdraft_limit="50", timezone="Europe/Berlin").json

    assert datetime.fromisoformat(created.pop("created_at")) <= clock.now()
    assert created == {
        "account": "clinic:42", "name": "City Clinic", "product": "clinic_leads",
        "timezone": "Europe/Berlin", "balance": 0, "held": 0, "available": 50,
        "overdraft_limit": 50, "alert_level": "exhausted", "low_balance": 500,
        "state_code": None, "gstin": None, "review_reason": None,
    }  # fmt: skip
    shown = run("accounts", "show", "clinic:42", "--json").json
    assert {name: shown[name] for name in created} == created
    assert run("accounts", "list", "--json").json == [shown]


def test_the_time_zone_of_the_house_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_clinic("clinic:1").json["timezone"] == "Asia/Kolkata"


def test_an_account_shows_its_gst_number_and_the_state_of_it() -> None:
    open_clinic(gstin="27ABCDE1234F1Z0")

    shown = run("accounts", "show", "clinic:42", "--json").json

    assert (shown["state_code"], shown["gstin"]) == ("27", "27ABCDE1234F1Z0")
    [opened] = run("audit-log", "--subject", "account:clinic:42", "--json").json
    assert (opened["after"]["state_code"], opened["after"]["gstin"]) == ("27", "27ABCDE1234F1Z0")


def test_accounts_are_listed_by_reference() -> None:
    for ref in ("clinic:2", "pharma:1", "clinic:1"):
        open_clinic(ref)

    assert [a["account"] for a in run("accounts", "list", "--json").json] == [
        "clinic:1",
        "clinic:2",
        "pharma:1",
    ]


def test_an_empty_house_says_so_to_people_and_machines() -> None:
    assert run("accounts", "list", "--json").json == []
    assert "No accounts yet" in run_on_terminal("accounts", "list").out


def test_an_account_can_be_opened_once() -> None:
    open_clinic()

    ran = run("accounts", "create", "clinic:42", "--name", "Other", "--product", "clinic_leads")

    assert "'clinic:42' already exists" in ran.error
    assert run("accounts", "show", "clinic:42", "--json").json["name"] == "City Clinic"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (("clinic42",), "ref must be kind:id"),
        (("Clinic:42",), "ref must be kind:id"),
        (("clinic:",), "ref must be kind:id"),
        (("clinic:4 2",), "ref must be kind:id"),
        (("clinic:४२",), "ref must be kind:id"),
        (("clinic:42\n",), "ref must not hold control characters"),
        (("",), "ref must not be empty"),
        (("clinic:" + "4" * 100,), "ref must be at most 100 characters"),
        (("clinic:42", "--name", ""), "name must not be empty"),
        (("clinic:42", "--name", "x" * 201), "name must be at most 200 characters"),
        (("clinic:42", "--name", "a\x1b[31mb"), "name must not hold control characters"),
        (("clinic:42", "--product", "leads"), "clinic_leads, pharmapulse_one, not 'leads'"),
        (("clinic:42", "--timezone", "Kolkata"), "Asia/Kolkata, not 'Kolkata'"),
        (("clinic:42", "--timezone", ""), "timezone must be an IANA name"),
        (("clinic:42", "--timezone", "../../etc/passwd"), "timezone must be an IANA name"),
        (("clinic:42", "--timezone", "Asia"), "timezone must be an IANA name"),
        (("clinic:42", "--timezone", "localtime"), "timezone must be an IANA name"),
        (("clinic:42", "--timezone", "posixrules"), "timezone must be an IANA name"),
        (("clinic:42", "--timezone", "posix/Asia/Kolkata"), "timezone must be an IANA name"),
        (("clinic:42", "--timezone", "asia/kolkata"), "timezone must be an IANA name"),
        (("clinic:42", "--name", "City\u202ecinilC"), "name must not hold U+202E"),
        (("clinic:42", "--state-code", "28"), "state_code must be a GST state code"),
        (("clinic:42", "--gstin", "27ABCDE1234F1Z1"), "gstin has a wrong check character"),
        (("clinic:42", "--gstin", "27ABCDE1234F1Z0", "--state-code", "29"), "of state 29"),
        (("clinic:42", "--overdraft-limit", "-1"), "overdraft_limit must be between 0 and"),
        (("clinic:42", "--overdraft-limit", str(10**13)), "overdraft_limit must be between 0"),
    ],
)
def test_an_account_that_makes_no_sense_is_refused_by_field(
    wrong: Sequence[str], named: str
) -> None:
    usual = ("--name", "City Clinic", "--product", "clinic_leads")

    assert named in run("accounts", "create", *usual, *wrong).error
    assert run("accounts", "list", "--json").json == []


def test_the_balance_tells_what_can_be_spent() -> None:
    open_clinic(overdraft_limit="50")
    give("1000")
    post_all(take(180, key="lead:L-1:charge"))

    assert run("balance", "clinic:42", "--json").json == {
        "account": "clinic:42", "balance": 820, "held": 0, "available": 870, "overdraft_limit": 50,
    }  # fmt: skip


@pytest.mark.parametrize("command", [("balance",), ("history",), ("accounts", "show")])
def test_an_account_that_nobody_opened_is_unknown(command: Sequence[str]) -> None:
    open_clinic()

    for ref in ("clinic:43", "", "CLINIC:42", "clinic:42 ", "%", "clinic:" + "4" * 5_000):
        assert "unknown account" in run(*command, ref, "--json").error


@pytest.mark.parametrize(
    "command", [("balance",), ("history",), ("accounts", "show"), ("inbox", "list", "--source")]
)
def test_bytes_that_are_no_text_are_refused_in_one_line(command: Sequence[str]) -> None:
    # As Python hands over an argument that is not UTF-8
    assert run(*command, "clinic:\udcff").error


def test_credit_is_given_as_goodwill_and_told() -> None:
    open_clinic()

    given = give("1000", "clinic:42", "--key", "welcome:42", "--json").json

    assert given.pop("transaction_id") > 0
    assert given == {
        "account": "clinic:42", "amount": 1000, "balance": 1000, "idempotency_key": "welcome:42",
        "repeated": False,
    }  # fmt: skip
    assert_ledger_is_clean()


def test_the_same_key_is_applied_once() -> None:
    open_clinic()
    first = give("1000", "clinic:42", "--key", "welcome:42", "--json").json

    second = give("1000", "clinic:42", "--key", "welcome:42", "--json").json

    assert second == {**first, "repeated": True}
    assert run("balance", "clinic:42", "--json").json["balance"] == 1000


@pytest.mark.parametrize(
    ("ref", "amount", "reason", "differs"),
    [
        ("clinic:42", "999", "welcome", "amount was 1000 and is now 999"),
        ("clinic:43", "1000", "welcome", "account was 'clinic:42' and is now 'clinic:43'"),
        ("clinic:42", "1000", "other", "description was 'welcome' and is now 'other'"),
    ],
)
def test_the_same_key_with_other_content_is_a_conflict(
    ref: str, amount: str, reason: str, differs: str
) -> None:
    open_clinic("clinic:42")
    open_clinic("clinic:43")
    give("1000", "clinic:42", "--key", "welcome:42")

    error = run(
        "credit", ref, amount, "--reason", reason, "--actor", "ops", "--key", "welcome:42"
    ).error

    assert "welcome:42 was recorded before with other content" in error
    assert differs in error
    balances = [a["balance"] for a in run("accounts", "list", "--json").json]
    assert balances == [1000, 0]


def test_without_a_key_each_credit_is_one_of_its_own() -> None:
    open_clinic()

    keys = {give("10", "clinic:42", "--json").json["idempotency_key"] for _ in range(2)}

    assert len(keys) == 2
    assert run("balance", "clinic:42", "--json").json["balance"] == 20


@pytest.mark.parametrize(
    ("amount", "message"), [("0", "amount"), ("-5", "amount"), (str(10**13), "amount")]
)
def test_an_amount_that_cannot_be_given_is_refused(amount: str, message: str) -> None:
    open_clinic()

    ran = run("credit", "--reason", "r", "--actor", "a", "--", "clinic:42", amount)

    assert message in ran.error
    assert run("balance", "clinic:42", "--json").json["balance"] == 0


@pytest.mark.parametrize("amount", ["ten", "1.5", "1e3", "", "0x10", "₹100"])
def test_an_amount_that_is_no_whole_number_is_wrong_usage(amount: str) -> None:
    open_clinic()

    ran = give(amount)

    assert ran.exit_code == 2
    assert "Usage: billing credit" in ran.err
    assert run("balance", "clinic:42", "--json").json["balance"] == 0


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--reason", "", "reason must not be empty"),
        ("--reason", "  ", "reason must not be empty"),
        ("--reason", "two\nlines", "control characters"),
        ("--reason", "x" * 1_001, "at most 1000 characters"),
        ("--actor", "", "actor must not be empty"),
        ("--key", "", "idempotency_key must not be empty"),
        ("--key", "x" * 256, "idempotency_key must be at most 255 characters"),
    ],
)
def test_credit_needs_a_reason_an_actor_and_a_key_that_can_be_kept(
    option: str, value: str, message: str
) -> None:
    open_clinic()

    ran = run("credit", "clinic:42", "5", "--reason", "r", "--actor", "a", option, value)

    assert message in ran.error


def test_why_it_was_given_cannot_be_left_out() -> None:
    ran = run("credit", "clinic:42", "5", "--actor", "a")

    assert ran.exit_code == 2
    assert "--reason" in ran.err


def test_history_tells_what_happened_newest_first() -> None:
    open_clinic()
    give("1000", "clinic:42", "--key", "welcome:42")
    happened = clock.now() - timedelta(hours=3)
    post_all(
        take(
            180, key="lead:L-1:charge", description="Lead L-1", event_at=happened, lead_id="L-1",
            payment_id="pay_1", dispute_id="D-1",
        )
    )  # fmt: skip

    newest, oldest = run("history", "clinic:42", "--json").json

    assert datetime.fromisoformat(newest.pop("event_at")) == happened
    for row in (newest, oldest):
        written = datetime.fromisoformat(row.pop("created_at"))
        assert happened < written <= clock.now()
        assert written.utcoffset() == timedelta(0)
    assert newest.pop("id") > oldest.pop("id")
    assert newest == {
        "version": 2, "amount": -180, "balance_after": 820, "kind": "lead_charge",
        "idempotency_key": "lead:L-1:charge", "description": "Lead L-1", "actor": "test",
        "lead_id": "L-1", "payment_id": "pay_1", "dispute_id": "D-1", "reverses": None,
        "request_id": None,
    }  # fmt: skip
    assert datetime.fromisoformat(oldest.pop("event_at")).utcoffset() == timedelta(0)
    assert oldest == {
        "version": 1, "amount": 1000, "balance_after": 1000, "kind": "goodwill",
        "idempotency_key": "welcome:42", "description": "welcome", "actor": "ops",
        "lead_id": None, "payment_id": None, "dispute_id": None, "reverses": None,
        "request_id": None,
    }  # fmt: skip


def test_history_shows_the_newest_when_there_are_many() -> None:
    open_clinic()
    for _ in range(25):
        give("1")

    assert [
        row["version"] for row in run("history", "clinic:42", "--limit", "20", "--json").json
    ] == list(range(25, 5, -1))
    assert len(run("history", "clinic:42", "--limit", "25", "--json").json) == 25
    assert len(run("history", "clinic:42", "--limit", "1", "--json").json) == 1
    assert run("history", "clinic:42", "--limit", "0").exit_code == 2


def test_a_new_account_has_no_history() -> None:
    open_clinic()

    assert run("history", "clinic:42", "--json").json == []
    assert "No ledger rows of clinic:42" in run_on_terminal("history", "clinic:42").out


def test_the_low_balance_of_an_account_is_set_and_its_level_follows() -> None:
    open_clinic()
    give("1000")
    assert run("accounts", "show", "clinic:42", "--json").json["alert_level"] == "ok"

    changed = run("accounts", "set", "clinic:42", "--low-balance", "1000", "--json").json

    assert (changed["low_balance"], changed["alert_level"]) == (1000, "low")
    shown = run_on_terminal("accounts", "show", "clinic:42").out
    assert "low balance" in shown
    assert "alert level" in shown
    assert "low_balance must be" in run("accounts", "set", "clinic:42", "--low-balance", "-1").error
    log = run("audit-log", "--subject", "account:clinic:42", "--json").json
    assert log[0]["after"] == {"low_balance": 1000}


def test_a_low_balance_goes_back_to_the_catalogs_and_the_level_follows() -> None:
    # Given a balance that is low by the account's own measure alone
    open_clinic(low_balance="1000")
    give("1000")
    run("accounts", "set", "clinic:42", "--name", "Town Clinic")
    before = run("accounts", "show", "clinic:42", "--json").json
    assert (before["low_balance"], before["alert_level"]) == (1000, "low")

    # When the account is to have no measure of its own, and once more
    changed = [
        run("accounts", "set", "clinic:42", "--low-balance", "default", "--json").json
        for _ in range(2)
    ]

    # Then the catalog's holds, and it was one change
    assert {(c["low_balance"], c["alert_level"]) for c in changed} == {(500, "ok")}
    assert rows("SELECT low_balance FROM accounts") == [(None,)]
    log = run("audit-log", "--subject", "account:clinic:42", "--json").json
    assert [(entry["before"], entry["after"]) for entry in log[:2]] == [
        ({"low_balance": 1000}, {"low_balance": None}),
        ({"name": "City Clinic"}, {"name": "Town Clinic"}),
    ]
    assert run("alerts", "list", "--json").json[0]["alert"] == "balance.recovered"


def test_what_is_no_low_balance_is_refused() -> None:
    open_clinic()
    ran = run("accounts", "set", "clinic:42", "--low-balance", "catalog")
    assert ran.exit_code == 2
    assert "'--low-balance': 'catalog' is neither an integer nor `default`" in ran.err
    new = ("accounts", "create", "clinic:1", "--name", "A", "--product", "clinic_leads")
    assert "low_balance must be" in run(*new, "--low-balance", "-1").error
    assert open_clinic("clinic:2", low_balance="0").json["low_balance"] == 0


def test_an_account_that_somebody_has_looked_at_is_not_under_review_any_more() -> None:
    open_clinic()
    with transaction() as session:
        (account_id,) = session.execute(text("SELECT id FROM accounts")).one()
        account_review.flag(session, account_id, account_review.PLAN_REFUNDED)
    looked = ("accounts", "reviewed", "clinic:42", "--reason", "year kept", "--actor", "ops")

    assert run(*looked, "--json").json["review_reason"] is None
    assert run(*looked, "--json").json["review_reason"] is None  # nothing more to end

    [ended, *_] = run("audit-log", "--subject", "account:clinic:42", "--json").json
    assert (ended["action"], ended["before"]) == (
        "account.review_ended", {"review_reason": "plan_refunded"},
    )  # fmt: skip
    assert ended["after"] == {"review_reason": None, "found": "year kept", "by": "ops"}


def test_a_review_cannot_end_without_a_reason_or_an_account() -> None:
    open_clinic()
    by = ("--actor", "ops", "--reason")

    assert "reason must not be empty" in run("accounts", "reviewed", "clinic:42", *by, " ").error
    assert "unknown account" in run("accounts", "reviewed", "clinic:9", *by, "x").error
