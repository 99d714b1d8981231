"""Contacts: what an address may be, who may be mailed what, and what is recorded of it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

import clock
from billing.errors import UnknownAccount
from billing.notices import (
    ContactExists,
    InvalidContact,
    TooManyContacts,
    UnknownContact,
    contacts,
    questions,
)
from billing.notices.addresses import problem_with
from billing.topics import UnknownTopic
from db.session import transaction
from tests.billing.given import at_once, open_account, rows
from tests.billing.notices.mail_given import (
    ADDRESS,
    CLINIC,
    NOON,
    OPS,
    add_contact,
    asking,
    states,
)
from tests.conftest import owner
from tests.stack_process import eventually

pytestmark = pytest.mark.usefixtures("mail")


def sent_meanwhile() -> None:
    """Each mail that asks has reached its reader."""
    with owner() as connection:
        connection.execute(
            text("UPDATE notice_mails SET state = 'done', next_attempt_at = NULL,"
                 " finished_at = created_at WHERE state = 'pending'")
        )  # fmt: skip


@pytest.mark.parametrize(
    "address",
    ["a@b.co", "first.last+tag@clinic.example", "o'hara@xn--bcher-kva.example", f"{'a' * 64}@b.co"],
)
def test_an_ordinary_address_passes(address: str) -> None:
    assert problem_with(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "", "clinic", "@b.co", "a@", "a@b", "a@@b.co", "a@b@c.co", "a b@c.co", "a@b .co",
        "a@b.co\r\nBcc: c@d.co", "a\n@b.co", "a\x00@b.co", "a@b.co\n", ".a@b.co", "a..b@c.co",
        "a.@b.co", '"a b"@c.co', "a@[127.0.0.1]", "a@127.0.0.1", "a@-b.co", "a@b-.co", "a@b..co",
        "ä@b.co", "a@bücher.example", f"{'a' * 65}@b.co", f"a@{'b' * 60}.{'c.' * 100}co",
        "A <a@b.co>", "a@b.co,c@d.co",
    ],
)  # fmt: skip
def test_what_is_not_one_plain_address_is_refused_without_being_repeated(address: str) -> None:
    open_account()

    with pytest.raises(InvalidContact) as refused:
        add_contact(address=address)

    assert refused.value.field == "address"
    assert not address or address not in str(refused.value)


def test_an_account_has_several_contacts_each_with_its_topics() -> None:
    open_account()
    first = add_contact()
    second = add_contact(address="owner@clinic.example", topics=["balance.*", "payment.captured"])
    add_contact(None, OPS)

    with transaction() as session:
        found = contacts.list_of(session, account=CLINIC)

    assert [(one.contact_id, one.topics) for one in found] == [
        (first, ("*",)),
        (second, ("balance.*", "payment.captured")),
    ]
    with transaction() as session:
        assert [one.address for one in contacts.list_of(session, account=None)] == [OPS]


def test_an_address_is_of_an_account_once_whatever_its_capitals_even_at_the_same_moment() -> None:
    open_account()
    open_account("clinic:7")

    answers = at_once(
        lambda: add_contact(address="Accounts@Clinic.example"), lambda: add_contact(address=ADDRESS)
    )

    refused = [answer for answer in answers if isinstance(answer, ContactExists)]
    assert len(refused) == 1
    assert "clinic.example" not in str(refused[0]).lower()
    add_contact("clinic:7")  # two accounts of one owner


def test_only_topics_that_somebody_is_mailed_about_can_be_asked_for() -> None:
    open_account()
    with pytest.raises(UnknownTopic, match=r"did you mean balance\.low"):
        add_contact(topics=["balance.lo"])
    with pytest.raises(UnknownTopic):
        add_contact(topics=["chargeback.open"])  # for operators
    with pytest.raises(UnknownTopic):
        add_contact(None, OPS, topics=["balance.low"])
    with pytest.raises(InvalidContact, match="at least one"):
        add_contact(topics=[])
    with pytest.raises(UnknownAccount):
        add_contact("clinic:nowhere")


def test_an_account_has_a_limited_number_of_contacts_at_once_and_in_a_day() -> None:
    open_account()
    with clock.frozen(NOON):
        made = [
            add_contact(address=f"c{number}@clinic.example")
            for number in range(contacts.MOST_AT_ONCE)
        ]
        with pytest.raises(TooManyContacts, match="20 contacts are the most"):
            add_contact()
        for number in range(contacts.MOST_A_DAY - contacts.MOST_AT_ONCE):
            with transaction() as session:
                contacts.remove(session, made.pop())
            made.append(add_contact(address=f"d{number}@clinic.example"))
        with transaction() as session:
            contacts.remove(session, made.pop())
        with pytest.raises(TooManyContacts, match="40 contacts in a day are the most"):
            add_contact()
        assert add_contact(None, OPS)
    with clock.frozen(NOON + timedelta(days=1)):
        assert add_contact()


def test_a_platform_s_address_is_asked_to_confirm_and_an_operator_s_is_not() -> None:
    open_account()
    add_contact(None, OPS)

    asked = add_contact(confirmed=False)

    assert states() == [("confirm_address", "pending", None)]
    with transaction() as session:
        assert not contacts.get(session, asked).confirmed
        assert contacts.confirm(session, asked).confirmed
        assert contacts.confirm(session, asked).confirmed  # a link that is pressed twice


def test_a_stranger_is_asked_a_few_times_whichever_accounts_name_the_address() -> None:
    *accounts, last, late = [f"clinic:{n}" for n in range(questions.MOST_UNANSWERED + 1)]
    for account in (*accounts, last, late):
        open_account(account)
    with clock.frozen(NOON):
        for account in accounts:
            asked = add_contact(account, "Stranger@elsewhere.example", confirmed=False)
            sent_meanwhile()
            with transaction() as session:
                contacts.remove(session, asked)  # which forgets the address, not the mail
        refused = refused_beside(last, late, "stranger@elsewhere.example")
        assert isinstance(refused, TooManyContacts)
        assert "elsewhere" not in str(refused)
        assert add_contact(late, confirmed=False)  # another's
        assert add_contact(late, "stranger@elsewhere.example")  # an operator vouches for it
    assert "elsewhere" not in str(rows("SELECT once_for FROM notice_mails"))
    with clock.frozen(NOON + questions.COUNTED_FOR + timedelta(seconds=1)):
        open_account("clinic:new")
        assert add_contact("clinic:new", "stranger@elsewhere.example", confirmed=False)


def refused_beside(first: str, second: str, address: str) -> object:
    """What adding an address says that begins before another adding of it has ended."""

    def add() -> int:
        with clock.frozen(NOON), asking():
            return add_contact(second, address, confirmed=False)

    waits = text("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as other:
        with transaction() as session, owner() as connection:
            contacts.add(session, account=first, address=address, actor="test", confirmed=False)
            adding = other.submit(add)
            eventually("it waits", lambda: adding.done() or connection.execute(waits).all())
        return adding.exception(timeout=20)


def test_who_answers_may_be_asked_for_any_number_of_accounts() -> None:
    for number in range(questions.MOST_UNANSWERED + 1):
        open_account(f"clinic:{number}")
        asked = add_contact(f"clinic:{number}", "accountant@books.example", confirmed=False)
        sent_meanwhile()
        with transaction() as session:
            contacts.confirm(session, asked)


def test_who_stopped_the_mails_of_an_account_is_not_asked_about_it_again() -> None:
    open_account()
    open_account("clinic:7")
    asked = add_contact(confirmed=False)
    sent_meanwhile()
    with transaction() as session:
        contacts.unsubscribe(session, asked, kind="all")
        contacts.remove(session, asked)

    with pytest.raises(TooManyContacts, match="has stopped all mails of this account"):
        add_contact(confirmed=False)
    assert add_contact("clinic:7", confirmed=False)
    assert add_contact()  # an operator vouches for it


def test_a_reader_stops_a_kind_or_everything_but_no_receipts() -> None:
    open_account()
    id_ = add_contact()

    with transaction() as session:
        contacts.unsubscribe(session, id_, kind="renewal_reminder")
        contacts.unsubscribe(session, id_, kind="renewal_reminder")
        assert contacts.unsubscribe(session, id_, kind="all").unsubscribed == (
            "all",
            "renewal_reminder",
        )
        for kind in ("top_up", "confirm_address", "nonsense"):
            with pytest.raises(InvalidContact):
                contacts.unsubscribe(session, id_, kind=kind)
        assert contacts.resubscribe(session, id_).unsubscribed == ()


def test_a_removed_contact_is_forgotten_and_may_be_added_again() -> None:
    open_account()
    open_account("clinic:7")
    id_ = add_contact()

    with transaction() as session, pytest.raises(UnknownContact):
        contacts.remove(session, id_, account="clinic:7")
    with transaction() as session:
        contacts.remove(session, id_, account=CLINIC)

    assert rows("SELECT address FROM notice_contacts") == [(None,)]
    with transaction() as session:
        for change in (contacts.remove, contacts.confirm, contacts.get):
            with pytest.raises(UnknownContact):
                change(session, id_)
    assert add_contact() != id_


def test_each_change_is_in_the_audit_log_without_the_address() -> None:
    open_account()
    id_ = add_contact(confirmed=False)
    with transaction() as session:
        contacts.confirm(session, id_)
        contacts.confirm(session, id_)
        contacts.unsubscribe(session, id_, kind="refund")
        contacts.resubscribe(session, id_)
        contacts.remove(session, id_)

    found = rows(
        "SELECT action, before::text, after::text FROM billing_audit_log WHERE subject = :s"
        " ORDER BY id",
        s=f"contact:{id_}",
    )

    assert [row[0] for row in found] == [
        "contact.added", "contact.confirmed", "contact.unsubscribed", "contact.resubscribed",
        "contact.removed",
    ]  # fmt: skip
    assert ADDRESS not in str(found)
