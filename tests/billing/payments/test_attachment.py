"""Attachment: money that no rule could place goes to an account once, with an audit entry."""

from functools import partial

import pytest

from billing.credit import corrections
from billing.errors import InvalidReason, UnknownAccount
from billing.ledger import InvalidPosting, Kind, Posting, post
from billing.payments import (
    AmbiguousPayment,
    CannotAttach,
    CreditedPayment,
    Seen,
    UnknownPayment,
    attachment,
)
from billing.plans import PlanRefused
from db.session import transaction
from errors import PermanentError
from tests.billing.given import assert_ledger_is_clean, at_once, balance, open_account, rows
from tests.billing.leads.given import DEAR, park, states
from tests.billing.payments.given import (
    CLINIC,
    PRICE,
    RUPEE,
    credit_rows,
    news,
    open_order,
    payment,
    take_in,
)
from tests.billing.plans.given import open_pharmacy
from tests.billing.returns.given import refund_fact, report, settle

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def clinic(database: str) -> str:
    return open_account()


def attach(
    payment_id: str = "pay_1",
    account: str = CLINIC,
    reason: str = "bank slip",
    *,
    credits_: int | None = None,
    plan: str | None = None,
) -> CreditedPayment:
    given = attachment.Given(credits_, plan)
    with transaction() as session:
        credited, _ = attachment.attach(
            session, payment_id, account=account, reason=reason, actor="admin:ops", given=given
        )
        return credited


def credit_by_hand(key: str = "payment:pay_1", amount: int = 5_500) -> None:
    """What an operator does with `billing credit`, or `billing adjust`."""
    rule = corrections.credit if amount > 0 else corrections.adjust
    with transaction() as session:
        rule(
            session, account=CLINIC, amount=amount, reason="payment", actor="admin:ops",
            idempotency_key=key,
        )  # fmt: skip


def was_credited_by_hand() -> None:
    """A row of the time in which `billing credit` took such a key."""
    posting = Posting(
        account=CLINIC, amount=5_500, kind=Kind.GOODWILL, idempotency_key="payment:pay_1",
        actor="admin:ops", description="payment",
    )  # fmt: skip
    with transaction() as session:
        post(session, [posting])[0].applied_or_raise()


def refusal(ask: partial[CreditedPayment]) -> PermanentError | CreditedPayment:
    try:
        return ask()
    except PermanentError as error:
        return error


def test_unmatched_money_brings_what_its_amount_buys() -> None:
    take_in(news(order_id=None))

    credited = attach()

    assert (credited.account, credited.credits) == (CLINIC, 5_500)
    assert credit_rows() == [("razorpay:pay_1:top_up", 5_000), ("razorpay:pay_1:bonus", 500)]
    assert (payment().state, payment().reason) == ("captured", None)
    assert rows(
        "SELECT action, before ->> 'state', after ->> 'reason', after ->> 'by'"
        " FROM billing_audit_log WHERE subject = 'payment:razorpay:pay_1' ORDER BY id DESC LIMIT 1"
    ) == [("payment.attached", "unmatched", "bank slip", "admin:ops")]
    assert_ledger_is_clean()


def test_quarantined_money_can_be_attached_and_what_was_refunded_is_taken_back() -> None:
    open_order()
    take_in(news(amount_paise=400_000))
    report(refund_fact(amount=100_000))

    credited = attach()
    settle()

    assert credited.credits == 4_000
    assert balance() == 3_000
    assert (payment().state, payment().refunded_paise) == ("partially_refunded", 100_000)
    assert_ledger_is_clean()


def test_attached_credit_pays_parked_leads() -> None:
    park(("a", DEAR))
    take_in(news(order_id=None))

    attach()

    assert states() == {"a": "charged"}
    assert balance() == 5_000


def test_facts_about_an_attached_payment_credit_nothing_more() -> None:
    take_in(news())
    attach()
    open_order()

    taken = take_in(news(), news(refunded_paise=100))

    assert taken.credited == []
    assert balance() == 5_500
    assert payment().state == "partially_refunded"


def test_two_operators_at_once_attach_once() -> None:
    open_account("clinic:43")
    take_in(news(order_id=None))

    found = at_once(
        partial(refusal, partial(attach, account=CLINIC)),
        partial(refusal, partial(attach, account="clinic:43")),
    )

    assert sorted(type(result).__name__ for result in found) == ["CannotAttach", "CreditedPayment"]
    assert balance(CLINIC) + balance("clinic:43") == 5_500


@pytest.mark.parametrize("seen", [Seen.AUTHORIZED, Seen.FAILED, Seen.RETURNED])
def test_money_that_was_not_captured_is_not_attached(seen: Seen) -> None:
    take_in(news(seen, order_id=None))

    with pytest.raises(CannotAttach, match="not unmatched or quarantined"):
        attach()


def test_money_in_another_currency_or_too_small_is_not_attached() -> None:
    take_in(news(currency="USD", order_id=None), news(payment_id="p2", amount_paise=99))

    with pytest.raises(CannotAttach, match="USD"):
        attach()
    with pytest.raises(CannotAttach, match="too small"):
        attach("p2")
    assert credit_rows() == []


def test_an_unknown_payment_or_account_and_an_empty_reason_are_refused() -> None:
    take_in(news(order_id=None))

    with pytest.raises(UnknownPayment):
        attach("pay_unknown")
    with pytest.raises(UnknownAccount):
        attach(account="clinic:unknown")
    with pytest.raises(InvalidReason):
        attach(reason=" ")
    assert payment().state == "unmatched"


@pytest.mark.parametrize("state", ["unmatched", "quarantined"])
def test_attached_money_stays_with_its_account_whatever_is_reported_later(state: str) -> None:
    # Given money for an order of one clinic that an operator gave to another
    open_account("clinic:43")
    if state == "quarantined":
        open_order()
        take_in(news(amount_paise=PRICE - 100))
        attach(account="clinic:43")
    else:
        take_in(news())
        attach(account="clinic:43")
        open_order()
    brought = payment().credits + payment().bonus_credits
    # When its capture is reported again, and a refund of a part
    taken = take_in(news(amount_paise=PRICE - 100), news(refunded_paise=100))
    # Then the credit stays
    assert taken.credited == []
    assert payment().state == "partially_refunded"
    assert (balance(CLINIC), balance("clinic:43")) == (0, brought)
    assert_ledger_is_clean()


def test_an_id_that_two_gateways_use_needs_the_gateway() -> None:
    take_in(news(order_id=None), news(order_id=None, gateway="stripe"))

    with pytest.raises(AmbiguousPayment):
        attach()
    with transaction() as session:
        attachment.attach(
            session, "pay_1", gateway="stripe", account=CLINIC, reason="slip", actor="admin:ops"
        )

    assert rows("SELECT gateway, state FROM billing_payments ORDER BY gateway") == [
        ("razorpay", "unmatched"),
        ("stripe", "captured"),
    ]


NAMING = ["payment:pay_1", "payment:whatever", "pay_Sw0eHbmAJ1dXgT", "slip-pay_Sw0eHbmAJ1dXgT",
          "pi_3MtwBwLkdIwHu7ix28a3tqPa"]  # fmt: skip


@pytest.mark.parametrize("rule", [corrections.credit, corrections.adjust])
@pytest.mark.parametrize("key", NAMING)
def test_no_credit_by_hand_has_a_key_that_names_a_payment(key: str, rule: object) -> None:
    with transaction() as session, pytest.raises(InvalidPosting, match="billing payments attach"):
        rule(  # type: ignore[operator]
            session, account=CLINIC, amount=100, reason="payment", actor="admin:ops",
            idempotency_key=key,
        )  # fmt: skip


@pytest.mark.parametrize("key", ["pay_june", "repay_Sw0eHbmAJ1dXgT", "payments:1", "api_outage"])
def test_a_key_that_names_no_payment_is_taken(key: str) -> None:
    credit_by_hand(key, 100)

    assert balance() == 100


@pytest.mark.parametrize("first", ["by_hand", "attach", "at_once"])
def test_no_order_of_attachment_and_credit_by_hand_credits_twice(first: str) -> None:
    take_in(news(order_id=None))
    acts = [partial(refusal, partial(attach)), partial(refusal, partial(credit_by_hand))]  # type: ignore[arg-type]

    if first == "at_once":
        at_once(*acts)
    else:
        for act in acts if first == "attach" else reversed(acts):
            act()

    assert balance() == 5_500
    assert credit_rows() == [("razorpay:pay_1:top_up", 5_000), ("razorpay:pay_1:bonus", 500)]
    assert_ledger_is_clean()


def test_attachment_sees_what_was_credited_by_hand_in_earlier_times() -> None:
    take_in(news(order_id=None))
    was_credited_by_hand()

    with pytest.raises(CannotAttach, match="--key payment:pay_1:returned"):
        attach()
    assert balance() == 5_500

    credit_by_hand("payment:pay_1:returned", -5_500)
    attach()

    assert balance() == 5_500
    assert_ledger_is_clean()


def test_debt_that_was_forgiven_under_such_a_key_gave_nothing_for_the_payment() -> None:
    credit_by_hand("owed", -5_500)
    with transaction() as session:
        corrections.write_off(
            session, account=CLINIC, amount=5_500, reason="owed", actor="admin:ops",
            idempotency_key="payment:pay_1",
        )  # fmt: skip
    take_in(news(order_id=None))

    attach()

    assert balance() == 5_500


def test_so_does_the_intake_once_the_order_is_known() -> None:
    was_credited_by_hand()
    take_in(news())
    open_order()

    taken = take_in(news())

    assert taken.credited == []
    assert (payment().state, payment().reason) == ("quarantined", "credited_by_hand")
    assert balance() == 5_500


def test_an_operator_says_what_money_brings_that_buys_nothing_by_itself() -> None:
    take_in(news(currency="USD", order_id=None))

    assert attach(credits_=700).credits == 700
    assert balance() == 700

    report(refund_fact(amount=PRICE))
    settle()

    assert balance() == 0
    assert_ledger_is_clean()


@pytest.mark.parametrize("credits_", [0, -1, 2**53])
def test_what_it_brings_must_be_an_amount_of_credit(credits_: int) -> None:
    take_in(news(order_id=None))

    with pytest.raises(CannotAttach, match="must bring from 1 to"):
        attach(credits_=credits_)


def test_it_brings_credits_or_a_plan() -> None:
    take_in(news(order_id=None))

    with pytest.raises(CannotAttach, match="not both"):
        attach(credits_=1, plan="pharmapulse_one")
    with pytest.raises(CannotAttach, match="clinic_leads has no such plan"):
        attach(plan="pharmapulse_one")


def test_money_for_a_plan_brings_its_year_once() -> None:
    open_pharmacy("pharmacy:1")
    take_in(news(order_id=None, amount_paise=15_000 * RUPEE))

    assert attach(account="pharmacy:1", plan="pharmapulse_one").credits == 0
    with pytest.raises(CannotAttach, match="is captured"):
        attach(account="pharmacy:1", plan="plan_renewal")

    assert rows("SELECT kind, request_key FROM plan_terms") == [("purchase", "razorpay:pay_1:plan")]
    assert balance("pharmacy:1") == 50_000
    assert_ledger_is_clean()


def test_a_plan_that_refuses_the_year_leaves_the_money_where_it_is() -> None:
    open_pharmacy("pharmacy:1")
    take_in(news(order_id=None))

    with pytest.raises(PlanRefused):
        attach(account="pharmacy:1", plan="plan_renewal")

    assert (payment().state, payment().credited_at) == ("unmatched", None)
