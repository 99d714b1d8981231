"""Mails that are due: what each says by then, what is no longer sent, and how often is tried."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

import clock
from billing import notices
from billing.notices import contacts, mail_queue
from billing.notices.mail_facts import FACTS_OF, MailKind
from billing.notices.mail_queue import LADDER, LEASE, MOST_ATTEMPTS
from billing.privacy import erasure
from billing.privacy.identity import Identity
from db import outbox
from db.outbox import NewNotice
from db.roles import Role
from db.session import transaction
from tests.billing.disputes import given as disputing
from tests.billing.given import give, open_account, post_all, rows, take
from tests.billing.notices.mail_given import (
    ADDRESS,
    CLINIC,
    NOON,
    OPS,
    add_contact,
    fan_out,
    later,
    lease,
    sent,
    states,
)
from tests.billing.payments import given as buying
from tests.billing.plans import given as renewing
from tests.billing.returns import given as returning
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("mail")


def only_facts(kind: str) -> Any:
    """What the one mail of a kind that is due says."""
    [mail] = [mail for mail in sent() if mail.facts.kind == kind]
    assert type(mail.facts.facts) is FACTS_OF[MailKind(kind)]
    return mail.facts.facts


def a_low_balance() -> None:
    """One mail is due, at noon."""
    with later(-5):
        open_account(credits_=600)
        add_contact()
        fan_out()
    with later(0):
        post_all(take(200, key="a"))
        fan_out()


def top_up() -> None:
    with later(-5):
        open_account()
        add_contact()
        add_contact(None, OPS)
    with later(0):
        buying.open_order()
        buying.take_in(buying.news())


def test_a_mail_says_whom_what_and_where_to_stop_it() -> None:
    a_low_balance()
    with later(0):
        [mail] = lease()

    facts = mail.facts
    assert ADDRESS not in repr(mail)
    assert "/unsubscribe/" not in repr(mail)
    assert (facts.to, facts.account, facts.account_name, facts.product, facts.zone) == (
        ADDRESS, CLINIC, "City Clinic", "Clinic marketplace", "Asia/Kolkata",
    )  # fmt: skip
    assert facts.facts.balance == 400  # type: ignore[union-attr]
    assert facts.written_at == NOON
    assert facts.unsubscribe_url is not None
    assert ADDRESS not in facts.unsubscribe_url
    assert facts.message_id == f"<mail-{mail.mail_id}.20261130063000000000@shop.example>"


def test_a_receipt_is_sent_once_a_payment_however_late_and_cannot_be_stopped() -> None:
    top_up()
    with later(0):
        fan_out()
    with later(24 * 30):
        [mail] = sent()
    assert mail.facts.unsubscribe_url is None
    receipt = mail.facts.facts
    assert (receipt.amount_paise, receipt.credits, receipt.bonus_credits) == (  # type: ignore[union-attr]
        500_000, 5_000, 500,
    )  # fmt: skip
    assert receipt.plan is None  # type: ignore[union-attr]


def test_a_receipt_for_a_plan_says_until_when_it_is_paid() -> None:
    with clock.frozen(renewing.at("2026-11-30T06:00")):
        renewing.open_pharmacy()
        add_contact(renewing.PHARMACY)
        renewing.buy(renewing.PLAN)
        fan_out()
        facts = only_facts("top_up")
    assert (facts.plan, facts.paid_until) == ("PharmaPulse One", date(2027, 11, 30))


def test_a_refund_and_a_decided_dispute_are_reported_each_time() -> None:
    top_up()
    with later(1):
        returning.ask_refund(100_000)
        returning.report(returning.refund_fact(amount=100_000, receipt=returning.ours()))
        disputing.charge("L-1", "L-2")
        disputing.approve(disputing.dispute("L-1"))
        disputing.reject(disputing.dispute("L-2"))
        fan_out()
        due = [mail.facts for mail in sent()]
    mails: dict[tuple[str, str], Any] = {
        (mail.kind, getattr(mail.facts, "lead_id", "")): mail.facts for mail in due
    }

    refund = mails[MailKind.REFUND, ""]
    assert (refund.amount_paise, refund.credits > 0) == (100_000, True)
    approved = mails[MailKind.DISPUTE_DECIDED, "L-1"]
    rejected = mails[MailKind.DISPUTE_DECIDED, "L-2"]
    assert (approved.accepted, approved.credits_refunded) == (True, 180)
    assert (rejected.accepted, rejected.credits_refunded) == (False, 0)


def test_a_refund_a_decision_and_a_question_to_confirm_are_sent_however_late() -> None:
    top_up()
    with later(1):
        add_contact(address="new@clinic.example", confirmed=False)
        returning.ask_refund(100_000)
        returning.report(returning.refund_fact(amount=100_000, receipt=returning.ours()))
        disputing.charge("L-1")
        disputing.approve(disputing.dispute("L-1"))
        fan_out()
    with later(10 * 24):
        late = [mail.facts.kind for mail in sent()]

    assert sorted(late) == ["confirm_address", "dispute_decided", "refund", "top_up"]


def test_each_reminder_is_sent_with_the_way_to_pay_until_the_year_is_paid() -> None:
    with clock.frozen(renewing.at("2026-11-30T06:00")):
        renewing.open_pharmacy()
        renewing.buy(renewing.PLAN)
        add_contact(renewing.PHARMACY, topics=["renewal.reminder", "plan.degraded"])
    due = renewing.at("2027-11-30T00:00+05:30")
    reported = {}
    for days in (-30, -7, -1, 0, 7, 15):
        with clock.frozen(due + timedelta(days=days, minutes=1)):
            renewing.tick()
            fan_out()
            reported[days] = {mail.facts.kind.value: mail.facts.facts for mail in sent()}

    assert [list(one) for one in reported.values()] == [["renewal_reminder"]] * 5 + [
        ["plan_degraded", "renewal_reminder"]
    ]
    for days, facts in reported.items():
        reminder = facts["renewal_reminder"]
        assert (reminder.days, reminder.due_on) == (days, date(2027, 11, 30))  # type: ignore[union-attr]
        assert (reminder.price_paise, reminder.grace_ends_on) == (100_000, date(2027, 12, 15))  # type: ignore[union-attr]
        assert reminder.pay_url.startswith("https://pay.shop.example/l/")  # type: ignore[union-attr]


def test_of_two_reminders_that_become_known_at_once_the_newer_is_sent() -> None:
    # Given a process that placed no notice for a day, while the reminders were written
    with clock.frozen(renewing.at("2026-11-30T06:00")):
        renewing.open_pharmacy()
        renewing.buy(renewing.PLAN)
        add_contact(renewing.PHARMACY, topics=["renewal.reminder"])
    due = renewing.at("2027-11-30T00:00+05:30")
    for days in (-1, 0):
        with clock.frozen(due + timedelta(days=days, minutes=1)):
            renewing.tick()
    with clock.frozen(due + timedelta(minutes=2)):
        fan_out()
        assert [mail.facts.facts.days for mail in sent()] == [0]  # type: ignore[union-attr]


def test_a_fall_into_debt_is_mailed_once_whichever_way_it_went() -> None:
    with later(-5):
        open_account(credits_=600, overdraft_limit=1_000)
        add_contact()
        fan_out()
    with later(0):
        post_all(take(700, key="straight"))
        fan_out()
        assert [mail.facts.kind for mail in sent()] == ["balance_exhausted"]
    with later(24):
        post_all(give(700, key="back"))
        post_all(take(600, key="to zero"))
        post_all(take(100, key="and below"))
        fan_out()
        assert [mail.facts.kind for mail in sent()] == ["balance_in_debt"]
    assert states("balance_exhausted") == [
        ("done", None), ("skipped", "the mail about the debt says more"),
    ]  # fmt: skip


def test_a_reminder_is_not_sent_once_the_year_is_paid_or_a_newer_one_is_due() -> None:
    with clock.frozen(renewing.at("2026-11-30T06:00")):
        renewing.open_pharmacy()
        renewing.buy(renewing.PLAN)
        add_contact(renewing.PHARMACY, topics=["renewal.reminder"])
    due = renewing.at("2027-11-30T00:00+05:30")
    for days in (-1, 0):  # no mail goes out in between
        with clock.frozen(due + timedelta(days=days, minutes=1)):
            renewing.tick()
            fan_out()
    with clock.frozen(due + timedelta(minutes=2)):
        assert [mail.facts.facts.days for mail in sent()] == [0]  # type: ignore[union-attr]
    with clock.frozen(due + timedelta(days=7, minutes=1)):
        renewing.tick()
        fan_out()
        renewing.buy(renewing.RENEWAL, 2)
        assert lease() == []

    assert [reason for _, reason in states("renewal_reminder")] == [
        "a newer reminder replaces it", None, "the plan was renewed",
    ]  # fmt: skip


def test_operators_are_mailed_about_a_chargeback_until_it_is_closed() -> None:
    top_up()
    with later(1):
        returning.report_dispute(returning.dispute_fact())
        fan_out()
        facts = only_facts("operator_chargeback")
        assert (facts.amount_paise, facts.gateway_dispute_id) == (500_000, "disp_1")
        returning.report_dispute(returning.dispute_fact(dispute_id="disp_2", amount=100))
        fan_out()
        returning.report_dispute(returning.dispute_fact("won", dispute_id="disp_2", amount=100))
        assert lease() == []
    assert states("operator_chargeback")[1] == ("skipped", "the chargeback is won by now")


def _unsubscribe(contact_id: int) -> None:
    with transaction() as session:
        contacts.unsubscribe(session, contact_id, kind="balance_low")


def _remove(contact_id: int) -> None:
    with transaction() as session:
        contacts.remove(session, contact_id)


def _erase_address(_: int) -> None:
    _erase(Identity(emails=(ADDRESS.upper(),)))


def _erase_account(_: int) -> None:
    _erase(Identity(accounts=(CLINIC,)))


def _erase(identity: Identity) -> None:
    with transaction(Role.OWNER) as session:
        found = erasure.find(session, identity)
        erasure.erase(session, identity, found, reason="asked")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_unsubscribe, "its reader has unsubscribed"),
        (_remove, "the contact was removed"),
        (_erase_address, "the contact was removed"),
        (_erase_account, "the contact was removed"),
    ],
)
def test_what_changes_before_the_mail_is_sent_counts(
    change: Callable[[int], None], reason: str
) -> None:
    a_low_balance()
    with later(0):
        change(1)
        assert lease() == []
    assert states("balance_low") == [("skipped", reason)]


def test_a_mail_that_is_days_late_is_no_news() -> None:
    a_low_balance()
    with later(3 * 24 + 1):
        assert lease() == []
    assert states("balance_low") == [("skipped", "it is older than 3 days")]


def test_a_leased_mail_is_nobody_else_s_until_its_worker_counts_as_dead() -> None:
    a_low_balance()
    with later(0):
        [first] = lease()
        assert lease() == []
    with clock.frozen(NOON + LEASE):
        [again] = lease()
    assert (again.facts.message_id, again.attempt) == (first.facts.message_id, 2)
    with transaction() as session:  # the first was only slow
        mail_queue.finish_failed(session, first, "late", for_good=True, now=NOON)
        mail_queue.give_back(session, [first])
    assert states("balance_low") == [("pending", None)]
    with transaction() as session:
        mail_queue.finish_sent(session, again, now=NOON)
    assert states("balance_low") == [("done", None)]


def test_a_failed_receipt_is_tried_by_the_ladder_and_then_given_up() -> None:
    top_up()
    moment = NOON
    waited = []
    with clock.frozen(moment):
        fan_out()
    for _ in range(MOST_ATTEMPTS):
        with clock.frozen(moment):
            [mail] = lease()
            with transaction() as session:
                mail_queue.finish_failed(session, mail, "busy", for_good=False, now=moment)
        [(due,)] = rows("SELECT next_attempt_at FROM notice_mails")
        if due is not None:
            waited.append(due - moment)  # type: ignore[operator]
            moment = due  # type: ignore[assignment]

    assert tuple(waited) == LADDER
    assert timedelta(hours=48) < sum(LADDER, timedelta()) < timedelta(hours=72)
    assert states("top_up") == [("dead", "busy")]


def test_a_mail_that_kills_each_of_its_workers_is_given_up() -> None:
    top_up()
    with later(0):
        fan_out()
    for attempt in range(MOST_ATTEMPTS):
        with clock.frozen(NOON + attempt * LEASE):
            assert len(lease()) == 1
    with clock.frozen(NOON + MOST_ATTEMPTS * LEASE):
        assert lease() == []
    assert states("top_up") == [("dead", "its worker died each time")]


def test_what_was_not_tried_keeps_its_attempts() -> None:
    a_low_balance()
    with later(0):
        with transaction() as session:
            mail_queue.give_back(session, lease())
        assert [mail.attempt for mail in lease()] == [1]


@pytest.mark.parametrize(
    ("payload", "problem"),
    [("{}", "KeyError"), ('{"gateway": "razorpay", "payment_id": "pay_0"}', "NoResultFound")],
)
def test_a_mail_whose_facts_cannot_be_read_keeps_no_other_back(payload: str, problem: str) -> None:
    top_up()
    with later(0):
        fan_out()
        with owner() as connection:
            connection.execute(
                text("UPDATE outbox_events SET payload = CAST(:p AS jsonb)"), {"p": payload}
            )
        buying.open_order("order_2", "op-2")
        buying.take_in(buying.news(payment_id="pay_2", order_id="order_2"))
        fan_out()
        assert [mail.facts.facts.payment_id for mail in lease()] == ["pay_2"]  # type: ignore[union-attr]
    assert states("top_up") == [
        ("pending", f"cannot be written: {problem}"),
        ("pending", None),
    ]


def test_operators_are_mailed_about_an_endpoint_without_its_path_until_it_works() -> None:
    with later(-5):
        add_contact(None, OPS)
    with later(0), transaction() as session:
        made = notices.endpoints.add(
            session, url="https://shop.example/hooks/s3cret", product="clinic_leads", actor="ops"
        )
        for state in ("failing", "off"):
            payload = {"endpoint_id": made.endpoint_id, "product": "clinic_leads"}
            row = NewNotice(f"endpoint.{state}", f"endpoint:{made.endpoint_id}", None, payload)
            outbox.write(session, [row], now=clock.now())
        session.execute(
            text("UPDATE notice_endpoints SET state = 'off', state_reason = 'answered 410'")
        )
    with later(0):
        fan_out()
        facts = only_facts("operator_endpoint")

    assert (facts.host, facts.state, facts.reason) == ("shop.example", "off", "answered 410")
    assert "s3cret" not in repr(facts)
    assert states("operator_endpoint")[0] == ("skipped", "the endpoint is off by now")
