"""`billing adjust`, `write-off`, `reverse`, `accounts set` and the audit log."""

from tests.billing.given import balance, open_account, post_all, take
from tests.cli.runner import run

WHY = ("--reason", "because", "--actor", "ops")


def test_adjust_corrects_both_ways_and_is_applied_once_under_its_key(database: str) -> None:
    open_account(credits_=100)
    assert run("adjust", "clinic:42", "-30", *WHY, "--key", "k1", "--json").json["balance"] == 70
    again = run("adjust", "clinic:42", "-30", *WHY, "--key", "k1", "--json").json
    assert again["repeated"] is True
    assert run("adjust", "clinic:42", "5", *WHY, "--json").json["balance"] == 75
    assert "k1 was recorded before" in run("adjust", "clinic:42", "-31", *WHY, "--key", "k1").error
    assert balance() == 75


def test_corrections_need_a_reason_and_an_amount(database: str) -> None:
    open_account(credits_=100)
    assert run("adjust", "clinic:42", "5", "--actor", "a").exit_code == 2
    assert (
        "reason must not be empty"
        in run("adjust", "clinic:42", "5", "--reason", " ", "--actor", "a").error
    )
    assert "amount must be between" in run("adjust", "clinic:42", "0", *WHY).error
    assert balance() == 100


def test_write_off_forgives_debt_and_no_more(database: str) -> None:
    open_account(overdraft_limit=50)
    post_all(take(40, key="t"))
    assert "it owes 40" in run("write-off", "clinic:42", "41", *WHY).error
    assert run("write-off", "clinic:42", "40", *WHY, "--json").json["balance"] == 0


def test_reverse_gives_a_charge_back_in_parts_and_then_the_rest(database: str) -> None:
    open_account(credits_=100)
    post_all(take(40, key="lead:L-1:charge"))
    assert run("reverse", "lead:L-1:charge", "--amount", "15", *WHY, "--json").json["balance"] == 75
    whole = run("reverse", "lead:L-1:charge", *WHY, "--key", "k", "--json").json
    again = run("reverse", "lead:L-1:charge", *WHY, "--key", "k", "--json").json
    assert (whole["balance"], again["repeated"]) == (100, True)
    assert "of 'lead:L-1:charge': 0 are left" in run("reverse", "lead:L-1:charge", *WHY).error
    assert run("reverse", "no:such:key", *WHY).error == (
        "there is no charge 'no:such:key' that can be reversed"
    )


def test_an_empty_key_is_refused_by_every_correction(database: str) -> None:
    open_account(credits_=100, overdraft_limit=100)
    post_all(take(150, key="t"))
    for command in (
        ("credit", "clinic:42", "5"),
        ("adjust", "clinic:42", "5"),
        ("write-off", "clinic:42", "5"),
        ("reverse", "t"),
    ):
        assert "idempotency_key must not be empty" in run(*command, *WHY, "--key", "").error
    assert balance() == -50


def test_history_tells_what_a_refund_reverses_and_who_gave_it(database: str) -> None:
    open_account(credits_=100)
    post_all(take(40, key="lead:L-1:charge", lead_id="L-1"))
    run("reverse", "lead:L-1:charge", "--reason", "wrong number", "--actor", "auditor")
    newest = run("history", "clinic:42", "--json").json[0]
    assert (newest["reverses"], newest["actor"]) == ("lead:L-1:charge", "auditor")
    assert newest["lead_id"] == "L-1"
    assert "auditor" in run("history", "clinic:42").out


def test_a_changed_account_is_in_the_audit_log_with_before_and_after(database: str) -> None:
    open_account()
    run("accounts", "set", "clinic:42", "--overdraft-limit", "500", "--name", "New Name")
    run("accounts", "set", "clinic:42", "--overdraft-limit", "500")  # changes nothing
    limited, changed, opened = run("audit-log", "--subject", "account:clinic:42", "--json").json
    assert limited["action"] == "account.overdraft_set"
    assert (limited["before"], limited["after"]["overdraft_limit"]) == ({"overdraft_limit": 0}, 500)
    assert changed["action"] == "account.changed"
    assert changed["before"] == {"name": "City Clinic", "overdraft_limit": 0}
    assert changed["after"] == {"name": "New Name", "overdraft_limit": 500}
    assert (changed["actor"], changed["door"]) == ("test", "cli")
    assert opened["action"] == "account.opened"
    assert run("accounts", "set", "clinic:42").exit_code == 2
    assert (
        "overdraft_limit must be"
        in run("accounts", "set", "clinic:42", "--overdraft-limit", "-1").error
    )
    assert "unknown account" in run("accounts", "set", "clinic:9", "--name", "x").error
