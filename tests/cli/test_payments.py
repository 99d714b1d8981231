"""`billing payments list|show|attach`."""

from datetime import datetime
from typing import Any

import pytest

from billing import audit
from billing.ledger import Kind
from billing.payments import Seen
from db.session import transaction
from tests.between import once_read
from tests.billing.given import assert_ledger_is_clean, balance, give, post_all, rows
from tests.billing.leads.given import DEAR, park, states
from tests.billing.payments.given import news, open_order, take_in
from tests.billing.verification.payment_rows import CREATED, add_order, add_payment
from tests.cli.runner import Ran, open_clinic, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database")


def listed(*options: str) -> list[Any]:
    found: list[Any] = run("payments", "list", *options, "--json").json
    return found


def test_payments_are_listed_newest_first_with_their_account() -> None:
    open_clinic()
    add_payment("clinic:42", "pay_1", gateway_order_id="order_1")
    add_payment(None, "pi_1", gateway="stripe", state="unmatched", reason="nobody's",
                credits=0, credited_at=None)  # fmt: skip

    stray, credited = listed()

    assert (stray["payment_id"], stray["account"], stray["reason"]) == ("pi_1", None, "nobody's")
    for time in ("created_at", "credited_at"):
        assert datetime.fromisoformat(credited.pop(time)) == CREATED
    assert credited == {
        "payment_id": "pay_1", "gateway": "razorpay", "order_id": "order_1",
        "account": "clinic:42", "state": "captured", "reason": None, "amount_paise": 100_000,
        "currency": "INR", "refunded_paise": 0, "credits": 1_000, "bonus_credits": 0,
        "request_id": None,
    }  # fmt: skip


def test_payments_are_found_by_state_account_and_gateway() -> None:
    for ref in ("clinic:1", "clinic:2"):
        open_clinic(ref)
    add_payment("clinic:1", "pay_1")
    add_payment("clinic:1", "pi_2", gateway="stripe", state="failed", credited_at=None)
    add_payment("clinic:2", "pay_3")

    def ids(*options: str) -> list[str]:
        return [payment["payment_id"] for payment in listed(*options)]

    assert ids("--state", "captured") == ["pay_3", "pay_1"]
    assert ids("--account", "clinic:1") == ["pi_2", "pay_1"]
    assert ids("--gateway", "stripe") == ["pi_2"]
    assert ids("--account", "clinic:1", "--state", "captured", "--gateway", "stripe") == []
    assert ids("--limit", "1") == ["pay_3"]


def test_without_payments_it_says_so() -> None:
    assert "No payments match" in run_on_terminal("payments", "list").out
    assert listed() == []


def test_an_account_that_nobody_opened_and_a_state_that_is_none_are_refused() -> None:
    assert "unknown account" in run("payments", "list", "--account", "clinic:9").error
    assert run("payments", "list", "--state", "paid").exit_code == 2
    assert run("payments", "list", "--gateway", "paypal").exit_code == 2


def test_a_payment_is_shown_with_its_order_its_ledger_rows_and_its_audit_log() -> None:
    open_clinic()
    order = add_order("clinic:42", "order_1")
    add_payment("clinic:42", "pay_1", gateway_order_id="order_1", order_id=order, fee_paise=2_360)
    post_all(give(1_000, key="razorpay:pay_1:top_up", kind=Kind.TOP_UP, payment_id="pay_1"))
    with transaction() as session:
        audit.record(
            session, "payment.captured", "payment:razorpay:pay_1",
            before={"state": "authorized"}, after={"state": "captured"},
        )  # fmt: skip

    shown = run("payments", "show", "pay_1", "--json").json

    assert (shown["payment_id"], shown["account"], shown["fee_paise"]) == (
        "pay_1", "clinic:42", 2_360,
    )  # fmt: skip
    assert (shown["order"]["receipt"], shown["order"]["state"]) == ("receipt-order_1", "open")
    [row] = shown["transactions"]
    assert (row["idempotency_key"], row["amount"]) == ("razorpay:pay_1:top_up", 1_000)
    [entry] = shown["audit_log"]
    assert (entry["action"], entry["after"]) == ("payment.captured", {"state": "captured"})
    for_people = run("payments", "show", "pay_1").out
    for found in ("receipt-order_1", "razorpay:pay_1:top_up", '{"state": "captured"}'):
        assert found in for_people


def test_a_payment_that_is_credited_while_one_looks_is_shown_as_it_was() -> None:
    open_clinic()
    open_order()
    take_in(news(Seen.AUTHORIZED))

    def show() -> tuple[str, int, int]:
        shown = run("payments", "show", "pay_1", "--json").json
        return shown["state"], shown["credits"], len(shown["transactions"])

    with once_read("billing_payments", lambda: take_in(news())):
        found = show()

    assert found == ("authorized", 0, 0)
    assert show() == ("captured", 5_000, 2)


def test_a_payment_of_nobody_is_shown_alone() -> None:
    add_payment(None, "pay_1", state="unmatched", reason="nobody's", credits=0, credited_at=None)

    shown = run("payments", "show", "pay_1", "--json").json

    assert (shown["account"], shown["order"]) == (None, None)
    assert (shown["transactions"], shown["audit_log"]) == ([], [])
    assert "Its" not in run("payments", "show", "pay_1").out


def test_a_payment_that_nobody_knows_is_an_error_and_two_of_an_id_need_the_gateway() -> None:
    assert "there is no payment 'pay_9'" in run("payments", "show", "pay_9").error
    for gateway in ("razorpay", "stripe"):
        add_payment(None, "pay_1", gateway=gateway, state="failed", credited_at=None)

    assert "say which gateway" in run("payments", "show", "pay_1").error
    shown = run("payments", "show", "pay_1", "--gateway", "stripe", "--json").json
    assert shown["gateway"] == "stripe"


def attach(*more: str, payment_id: str = "pay_1", account: str = "clinic:42") -> Ran:
    options = ("--account", account, "--reason", "bank slip", "--actor", "asha")
    return run("payments", "attach", payment_id, *options, *more)


def test_money_that_no_rule_could_place_is_given_to_an_account() -> None:
    open_clinic()
    take_in(news(order_id=None))

    ran = attach("--json")

    attached = ran.json
    assert (attached["payment_id"], attached["account"], attached["state"]) == (
        "pay_1", "clinic:42", "captured",
    )  # fmt: skip
    assert (attached["credits"], attached["bonus_credits"]) == (5_000, 500)
    assert ran.err == "Payment verified: pay_1, Credits 5500\n"
    assert balance() == 5_500
    [entry] = rows(
        "SELECT actor, door, after ->> 'reason', after ->> 'by' FROM billing_audit_log"
        " WHERE action = 'payment.attached'"
    )
    assert entry[1:] == ("cli", "bank slip", "asha")
    assert_ledger_is_clean()


def test_parked_leads_are_charged_from_it_and_told() -> None:
    open_clinic()
    park(("a", DEAR))
    take_in(news(order_id=None))

    ran = attach()

    assert ran.exit_code == 0
    assert ran.err.splitlines() == [
        "Payment verified: pay_1, Credits 5500",
        "Credit deduction: Clinic 42, Amount 500",
    ]
    assert "captured" in ran.out
    assert states() == {"a": "charged"}


def test_a_payment_is_attached_once() -> None:
    open_clinic()
    take_in(news(order_id=None))
    attach()

    assert "pay_1 is captured, not unmatched or quarantined" in attach().error
    assert balance() == 5_500


def test_what_cannot_be_attached_says_why_and_changes_nothing() -> None:
    open_clinic()
    take_in(news(order_id=None), news(payment_id="pay_usd", currency="USD", order_id=None))

    assert "unknown payment 'pay_9'" in attach(payment_id="pay_9").error
    assert "unknown account 'clinic:9'" in attach(account="clinic:9").error
    assert "is in USD, not INR" in attach(payment_id="pay_usd").error
    assert run("payments", "attach", "pay_1", "--account", "clinic:42").exit_code == 2
    assert balance() == 0


def test_two_of_an_id_need_the_gateway_to_be_attached() -> None:
    open_clinic()
    take_in(news(order_id=None), news(order_id=None, gateway="stripe"))

    assert "say which gateway" in attach().error
    assert attach("--gateway", "stripe", "--json").json["gateway"] == "stripe"
    assert balance() == 5_500
