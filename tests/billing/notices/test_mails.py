"""Which notice makes which mail for whom, once whoever asks twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

import clock
from billing.notices import contacts, mails
from billing.notices.mails import next_digest
from db import outbox
from db.outbox import NewNotice
from db.session import transaction
from tests.between import once_read
from tests.billing.given import at_once, give, open_account, post_all, rows, take
from tests.billing.leads.given import CHEAP, park, release_due
from tests.billing.notices import mail_given
from tests.billing.notices.mail_given import (
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

pytestmark = pytest.mark.usefixtures("mail")


def a_clinic(credits_: int = 600) -> None:
    """A clinic with credit and a contact, since before noon."""
    with later(-5):
        open_account(credits_=credits_)
        add_contact()
        add_contact(None, OPS)
        fan_out()


def spend(amount: int, key: str) -> None:
    post_all(take(amount, key=key))


def test_a_notice_of_which_no_mail_can_be_made_holds_up_no_other() -> None:
    a_clinic()
    with later(0):
        # Given a reminder that says not of which day, as no version of ours writes it
        with transaction() as session:
            odd = NewNotice("renewal.reminder", f"account:{CLINIC}", 1, {"days": 7})
            outbox.write(session, [odd], now=clock.now())
        spend(200, "a")
        # When it is placed with what follows
        with capture_logs() as lines:
            assert fan_out() == 1
        # Then all have their place, and the other mail is due
        assert rows("SELECT count(*) FROM outbox_events WHERE position IS NULL") == [(0,)]
        assert states("balance_low") == [("pending", None)]
        assert [line["event"] for line in lines] == ["notice without mails"]


def test_balance_mails_are_sent_once_a_kind_and_local_day() -> None:
    a_clinic()
    with later(0):
        spend(200, "a")  # 400: low
        assert fan_out() == 1
        sent()
        post_all(give(500, key="more"))
        spend(600, "b")  # 300: low again
        assert fan_out() == 0
        spend(300, "c")  # exhausted
        assert fan_out() == 1
        sent()
    with later(12.5):  # after midnight in Kolkata, the same day in UTC
        post_all(give(700, key="even more"))
        spend(300, "d")  # 400: low
        assert fan_out() == 1
        sent()

    assert states() == [
        ("balance_low", "done", None),
        ("balance_exhausted", "done", None),
        ("balance_low", "done", None),
    ]


def test_a_balance_that_recovered_in_time_is_not_reported_and_leaves_the_day_to_the_next() -> None:
    a_clinic()
    with later(0):
        spend(200, "a")
        fan_out()
        post_all(give(500, key="more"))
        assert lease() == []
        spend(600, "b")
        fan_out()
        assert [mail.facts.facts.balance for mail in sent()] == [300]  # type: ignore[union-attr]

    assert states("balance_low") == [("skipped", "the balance is ok by now"), ("done", None)]


def test_a_balance_that_falls_again_while_its_mail_is_judged_is_reported_all_the_same() -> None:
    # Given a low balance that has recovered, and a mail of it that is due
    a_clinic()
    with later(0), ThreadPoolExecutor(1) as other:
        spend(200, "a")
        fan_out()
        post_all(give(500, key="more"))

        # When it is low again after the balance was read, before the mail is skipped
        def falls_again() -> None:
            def fall() -> int:
                with later(0), mail_given.asking():
                    spend(600, "b")
                    return fan_out()

            waiting.append(other.submit(fall))
            mail_given.wait_for_a_lock()

        waiting: list[object] = []
        with once_read("accounts", falls_again):
            assert lease() == []
        assert waiting[0].result(timeout=20) == 1  # type: ignore[attr-defined]

    # Then there is a mail of it
    assert [row[0] for row in states("balance_low")] == ["skipped", "pending"]


def test_two_fan_outs_at_once_write_one_mail() -> None:
    a_clinic()
    with later(0):
        spend(200, "a")
        with transaction() as session:
            notices = mail_given.placed_notices(session)

        def write() -> int:
            with transaction() as session:
                return mails.of_notices(session, notices, now=NOON)

        assert sorted(map(str, at_once(write, write, write))) == ["0", "0", "1"]


def test_parked_leads_are_listed_once_at_six_in_the_evening() -> None:
    a_clinic(credits_=0)
    with later(0):
        park(("L-1", CHEAP), ("L-2", CHEAP))
        assert fan_out() == 1
        park(("L-3", CHEAP))
        assert fan_out() == 0
        assert lease() == []
    with later(5.9):
        post_all(give(100, key="one"))
        release_due()
        fan_out()
        assert "leads_parked" not in [mail.facts.kind for mail in sent()]
    with later(6):
        [digest] = sent()
        facts = digest.facts.facts
        assert [lead.lead_id for lead in facts.leads] == ["L-2", "L-3"]  # type: ignore[union-attr]
        assert (facts.count, facts.credits) == (2, 200)  # type: ignore[union-attr]
        park(("L-4", CHEAP))
        assert fan_out() == 1
    with later(29.9):
        assert lease() == []
    with later(30):
        assert len(sent()) == 1
    with later(54):
        assert lease() == []  # nothing new was parked


def test_after_days_in_which_nothing_was_sent_there_is_one_mail_of_a_kind() -> None:
    with later(-5):
        open_account()
        add_contact()
    with later(0):
        park(("L-1", CHEAP))
        fan_out()
    with later(24):
        park(("L-2", CHEAP))
        fan_out()
    with later(31):
        park(("L-3", CHEAP))  # the next digest
        fan_out()
        assert [mail.facts.facts.count for mail in sent()] == [3]  # type: ignore[union-attr]
    assert states("leads_parked") == [
        ("skipped", "the mail of a later day replaces it"), ("done", None), ("pending", None),
    ]  # fmt: skip


def test_a_digest_that_lists_nothing_any_more_is_not_sent() -> None:
    a_clinic(credits_=0)
    with later(0):
        park(("L-1", CHEAP))
        fan_out()
        post_all(give(100, key="one"))
        release_due()
    with later(6):
        assert lease() == []
    assert states("leads_parked") == [("skipped", "no lead is parked any more")]


def test_a_lead_that_comes_too_late_for_the_digest_is_in_the_next() -> None:
    # Given a digest that another process, whose clock is ahead, has leased
    a_clinic(credits_=0)
    with later(0):
        park(("L-1", CHEAP))
        fan_out()
    with later(6):
        leased = lease()
    with later(5.99):
        park(("L-2", CHEAP))
        assert fan_out() == 1
    assert len(leased) == 1
    assert rows("SELECT once_for FROM notice_mails ORDER BY id") == [
        ("2026-11-30",),
        ("2026-12-01",),
    ]


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        ("Asia/Kolkata", "2026-11-30T17:59:59+05:30", "2026-11-30T18:00+05:30"),
        ("Asia/Kolkata", "2026-11-30T18:00:00+05:30", "2026-12-01T18:00+05:30"),
        # The clocks of Berlin go forward on 29 March 2026, and back on 25 October.
        ("Europe/Berlin", "2026-03-28T19:00+01:00", "2026-03-29T18:00+02:00"),
        ("Europe/Berlin", "2026-10-24T19:00+02:00", "2026-10-25T18:00+01:00"),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", "2011-12-29T19:00-10:00", "2011-12-31T18:00+14:00"),
    ],
)
def test_the_hour_of_the_digest_is_local(zone: str, after: str, expected: str) -> None:
    _, at = next_digest(zone, after=datetime.fromisoformat(after))
    assert at == datetime.fromisoformat(expected)


def test_a_superseded_reminder_and_a_notice_older_than_the_contact_make_no_mail() -> None:
    with later(-6):
        open_account(credits_=600)
        spend(200, "before")  # low, before there is a contact
    with later(-5):
        add_contact()
    with later(0):
        reminder = {"account": CLINIC, "days": -30, "due_on": "2026-12-30"}
        with transaction() as session:
            account_id = session.scalar(text("SELECT id FROM accounts"))
            outbox.write(
                session,
                [
                    NewNotice(
                        "renewal.reminder", "account:clinic:42", account_id, reminder,
                        superseded=True,
                    )
                ],
                now=clock.now(),
            )  # fmt: skip
        assert fan_out() == 0


def test_contacts_get_the_topics_that_they_want_and_the_unconfirmed_receipts_alone() -> None:
    with later(-5):
        open_account()
        all_ = add_contact()
        payments = add_contact(address="pay@clinic.example", topics=["payment.captured"])
        balances = add_contact(address="owner@clinic.example", topics=["balance.*"])
        stopped = add_contact(address="quiet@clinic.example")
        unconfirmed = add_contact(address="new@clinic.example", confirmed=False)
        nobodys = add_contact(address="nobody@clinic.example", confirmed=False)
        with transaction() as session:
            contacts.unsubscribe(session, stopped, kind="balance_low")
            contacts.unsubscribe(session, nobodys, kind="all")
    with later(0):
        buying.open_order()
        buying.take_in(buying.news())
        spend(5_200, "a")  # 300 of 5,500 are left: low
        fan_out()

    made = rows("SELECT kind, contact_id FROM notice_mails WHERE kind <> 'confirm_address'")
    assert {contact for kind, contact in made if kind == "top_up"} == {
        all_, payments, stopped, unconfirmed,
    }  # fmt: skip
    assert {contact for kind, contact in made if kind == "balance_low"} == {all_, balances}


def test_operators_hear_of_payments_that_need_a_person_and_customers_do_not() -> None:
    a_clinic()
    with later(0):
        buying.take_in(buying.news(order_id="order_nobody_knows"))
        assert fan_out() == 1
        [mail] = sent()

    assert (mail.facts.kind, mail.facts.to, mail.facts.zone) == (
        "operator_payment", OPS, "Asia/Kolkata",
    )  # fmt: skip


def test_while_mail_is_off_nothing_piles_up(monkeypatch: pytest.MonkeyPatch) -> None:
    a_clinic()
    off = ("skipped", "mail is off: SMTP_URL is not set")
    with later(0):
        spend(200, "a")
        fan_out()
        with mail_given.mail_off():
            spend(400, "b")
            fan_out()
            assert lease() == []
        assert states() == [("balance_low", *off), ("balance_exhausted", *off)]
        assert lease() == []
