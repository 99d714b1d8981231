"""Clawbacks that meet: several for one money, late credit, refusals in error."""

from datetime import timedelta

import pytest

import clock
from billing import catalog
from billing.ledger import Kind, availability
from billing.payments import attachment
from db.session import transaction
from tests.billing.given import (
    assert_ledger_is_clean,
    balance,
    give,
    open_account,
    post_all,
    rows,
    take,
)
from tests.billing.payments.given import CLINIC, PRICE, news, open_order, payment, take_in
from tests.billing.returns.given import (
    ask_refund,
    chargeback,
    dispute_fact,
    held,
    ours,
    refund,
    refund_fact,
    refused,
    report,
    report_dispute,
    settle,
    taken_back,
)

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def paid(database: str) -> None:
    open_account()
    open_order()
    take_in(news())


@pytest.fixture
def caps(monkeypatch: pytest.MonkeyPatch) -> None:
    capped = catalog.get().model_copy(update={"refunds": catalog.Refunds(when_spent="cap")})
    monkeypatch.setattr(catalog, "get", lambda: capped)


@pytest.mark.parametrize("part", [PRICE, PRICE // 2])
def test_a_chargeback_gets_what_a_refund_that_fails_had_reserved(part: int) -> None:
    ask_refund(part)
    report_dispute(dispute_fact())

    refused()
    settle()
    assert held() == 5_500
    report_dispute(dispute_fact("lost"))

    assert (balance(), held(), taken_back()) == (0, 0, {"pay_1": 5_500})
    assert_ledger_is_clean()


def test_a_lost_chargeback_takes_what_a_refund_that_fails_gives_back() -> None:
    report(refund_fact())
    report_dispute(dispute_fact("lost"))
    assert taken_back() == {"pay_1": 5_500}

    report(refund_fact("failed"))
    settle()

    assert (balance(), taken_back()) == (0, {"pay_1": 5_500})
    report_dispute(dispute_fact("won"))
    assert (balance(), taken_back()) == (5_500, {"pay_1": 0})
    assert_ledger_is_clean()


def test_two_that_find_nothing_left_have_their_own_part_afterwards() -> None:
    ask_refund()
    more = dispute_fact(dispute_id="disp_2", amount=PRICE * 2 // 5)
    report_dispute(dispute_fact(amount=PRICE * 3 // 5), more)

    refused()
    settle()
    assert held() == 5_500
    report_dispute(dispute_fact("won", dispute_id="disp_2", amount=PRICE * 2 // 5))
    report_dispute(dispute_fact("lost", amount=PRICE * 3 // 5))

    assert (balance(), held(), taken_back()) == (2_200, 0, {"pay_1": 3_300})
    assert_ledger_is_clean()


def test_one_that_took_twice_gives_both_back() -> None:
    report(refund_fact(amount=PRICE // 2))
    report_dispute(dispute_fact("lost"))
    report(refund_fact("failed", amount=PRICE // 2))
    settle()
    assert (chargeback().credits, chargeback().bonus_credits) == (5_000, 500)

    report_dispute(dispute_fact("won"))

    assert (balance(), taken_back()) == (5_500, {"pay_1": 0})
    assert_ledger_is_clean()


def test_a_refund_that_was_refused_in_error_takes_its_credit_when_the_gateway_has_it() -> None:
    id_ = ask_refund()
    refused()
    settle()
    assert (refund(id_).state, held()) == ("failed", 0)

    report(refund_fact(receipt=ours()))

    assert (refund(id_).state, balance(), taken_back()) == ("processed", 0, {"pay_1": 5_500})
    assert payment().state == "refunded"
    assert_ledger_is_clean()


def test_a_second_refund_under_one_receipt_is_a_refund_of_its_own() -> None:
    ask_refund(PRICE // 4)
    report(refund_fact(amount=PRICE // 4, receipt=ours()))

    report(refund_fact(amount=PRICE // 4, receipt=ours(), refund_id="rfnd_2"))

    assert payment().refunded_paise == PRICE // 2
    assert taken_back() == {"pay_1": 2_750}


def test_reserved_credit_does_not_expire_before_it_is_taken() -> None:
    with clock.frozen(clock.now()):
        post_all(take(5_500, key="spent"))
        ends = clock.now() + timedelta(days=1)
        post_all(give(5_500, key="grant", kind=Kind.GRANT, expires_at=ends))
        id_ = ask_refund()
        clock.advance(timedelta(days=2))

        report(refund_fact(receipt=ours()))

    assert (balance(), held(), refund(id_).debt) == (0, 0, 0)
    assert_ledger_is_clean()


@pytest.mark.usefixtures("caps")
def test_what_one_part_let_go_the_next_part_does_not_take() -> None:
    post_all(take(5_500, key="spent"))
    report(refund_fact(amount=PRICE // 2))
    post_all(give(10_000, key="more"))

    report(refund_fact(amount=PRICE // 2, refund_id="rfnd_2"))

    assert (balance(), taken_back()) == (10_000 - 2_750, {"pay_1": 2_750})


@pytest.mark.usefixtures("caps")
def test_what_has_expired_counts_as_spent_under_the_cap() -> None:
    with clock.frozen(clock.now()):
        post_all(take(5_500, key="spent"))
        ends = clock.now() + timedelta(days=1)
        post_all(give(5_500, key="grant", kind=Kind.GRANT, expires_at=ends))
        clock.advance(timedelta(days=2))

        report(refund_fact())
        post_all(give(1, key="later"))

    assert balance() == 1
    assert_ledger_is_clean()


@pytest.mark.usefixtures("caps")
def test_credit_that_expires_while_it_is_reserved_is_not_owed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    post_all(take(5_200, key="spent"))
    monkeypatch.setattr(availability, "unspent", lambda *_: 5_500)  # as of a moment before

    id_ = ask_refund()
    report(refund_fact(receipt=ours()))

    assert (balance(), refund(id_).credits, refund(id_).debt) == (0, 300, 0)


def test_what_was_on_its_way_back_before_the_payment_was_attached_is_reserved_then() -> None:
    take_in(news(payment_id="pay_2", order_id=None))
    id_ = ask_refund(PRICE // 2, payment_id="pay_2")
    report(refund_fact("submitted", amount=PRICE // 2, payment_id="pay_2", receipt=ours()))
    assert (refund(id_).position, held()) == ("none", 0)

    with transaction() as session:
        attachment.attach(session, "pay_2", account=CLINIC, reason="slip", actor="admin:ops")
    settle()

    assert (refund(id_).position, held()) == ("reserved", 2_750)
    assert_ledger_is_clean()


def test_money_of_nobody_whose_refund_fails_is_seen_again() -> None:
    take_in(news(payment_id="pay_2", order_id=None))
    report(refund_fact(payment_id="pay_2"))
    assert payment("pay_2").state == "refunded"

    report(refund_fact("failed", payment_id="pay_2"))

    seen = payment("pay_2")
    assert (seen.state, seen.reason, seen.refunded_paise) == ("quarantined", "refund_failed", 0)
    assert ask_refund(payment_id="pay_2")
    assert_ledger_is_clean()


def test_a_chargeback_outranks_the_rate_of_disputes_as_the_reason_to_look() -> None:
    with transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE accounts SET review_reason = 'disputes_most_leads'"
        )

    report_dispute(dispute_fact())

    assert rows("SELECT review_reason FROM accounts") == [("chargeback",)]


def test_one_that_was_closed_before_its_loss_is_reported_is_lost() -> None:
    report_dispute(dispute_fact("closed"))

    report_dispute(dispute_fact("lost"))

    assert (chargeback().state, balance()) == ("lost", 0)
