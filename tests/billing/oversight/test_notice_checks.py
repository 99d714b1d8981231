"""What `billing status` finds of notices, endpoints and mails: each made to happen by the rules."""

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest

import clock
import settings
from billing import notices, oversight
from billing.notices import Answer
from billing.oversight import Finding, Level
from db.session import transaction
from tests.billing.given import open_account, rows
from tests.billing.notices import given
from tests.billing.notices.mail_given import OPS, add_contact, lease, mail_off, mail_on
from tests.conftest import owner

pytestmark = pytest.mark.usefixtures("mail")


@pytest.fixture
def mail(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with mail_on(monkeypatch):
        yield


def look(what: str) -> tuple[Level, int]:
    with transaction() as session:
        found = {one.what: one for one in oversight.look(session, now=clock.now())}
    finding: Finding = found[what]
    return finding.level, finding.count


def a_notice() -> int:
    """An endpoint, and a notice that waits for it."""
    endpoint = given.endpoint()
    given.write(open_account())
    return endpoint


def test_a_notice_that_nobody_places_becomes_worse_with_its_age() -> None:
    with given.at():
        a_notice()
        seen = [look("notices_to_place")]
        for minutes in (3, 17):
            given.later(minutes=minutes)
            seen.append(look("notices_to_place"))
    assert seen == [(Level.WELL, 1), (Level.ATTENTION, 1), (Level.BROKEN, 1)]


def test_a_notice_that_nobody_sends_becomes_worse_with_its_age() -> None:
    with given.at():
        a_notice()
        given.fan_out()
        seen = [look("notices_waiting")]
        for minutes in (6, 60):
            given.later(minutes=minutes)
            seen.append(look("notices_waiting"))
        assert look("notices_to_place") == (Level.WELL, 0)
    assert seen == [(Level.WELL, 1), (Level.ATTENTION, 1), (Level.BROKEN, 1)]


def test_a_dead_notice_and_an_endpoint_that_fails_and_is_off_need_a_person() -> None:
    with given.at():
        endpoint = a_notice()
        given.fan_out()
        # When it was tried for 75 hours
        given.until_dead()
        assert look("notices_dead") == (Level.ATTENTION, 1)
        assert look("endpoints_failing") == (Level.ATTENTION, 1)
        # And when five days are over
        given.later(days=3)
        given.review()
        assert look("endpoints_failing") == (Level.WELL, 0)
        assert look("endpoints_off") == (Level.ATTENTION, 1)
        # It was seen, and switched on: the notice may still be wanted, for a month
        with transaction() as session:
            notices.endpoints.enable(session, endpoint)
        assert look("endpoints_off") == (Level.WELL, 0)
        assert look("notices_dead") == (Level.ATTENTION, 1)
        given.later(days=31)
        assert look("notices_dead") == (Level.WELL, 0)


def test_what_somebody_switched_off_is_counted_and_is_well() -> None:
    endpoint = given.endpoint()
    with transaction() as session:
        notices.endpoints.disable(session, endpoint, reason="holidays")
    assert look("endpoints_off_by_hand") == (Level.WELL, 1)
    assert look("endpoints_off") == (Level.WELL, 0)


def test_a_mail_that_waits_becomes_worse_with_its_age_and_a_dead_one_needs_a_person() -> None:
    with given.at():
        endpoint = a_notice()
        add_contact(None, OPS, topics=("endpoint.*",))
        given.fan_out()
        given.send(Answer(410))  # which operators are mailed about
        assert look("endpoints_off") == (Level.ATTENTION, 1)
        assert endpoint
        given.fan_out()
        seen = [look("mails_waiting")]
        for hours in (1, 6):
            given.later(hours=hours)
            seen.append(look("mails_waiting"))
        assert seen == [(Level.WELL, 1), (Level.ATTENTION, 1), (Level.BROKEN, 1)]
        # When the mail server refuses it
        (mail,) = lease()
        with transaction() as session:
            notices.mail_queue.finish_failed(
                session, mail, "refused", for_good=True, now=clock.now()
            )
        assert look("mails_waiting") == (Level.WELL, 0)
        assert look("mails_dead") == (Level.ATTENTION, 1)


def test_mail_that_is_off_needs_a_person_only_if_somebody_is_to_be_mailed() -> None:
    with mail_off():
        assert look("mail_off") == (Level.WELL, 0)
        add_contact(None, OPS, topics=("endpoint.*",))
        assert look("mail_off") == (Level.ATTENTION, 1)


def test_endpoints_without_the_secret_that_signs_for_them_are_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given.endpoint()
    assert look("web_secrets_missing") == (Level.WELL, 0)
    for variable in ("WEB_SECRETS", "SMTP_URL", "MAIL_FROM"):
        monkeypatch.delitem(os.environ, variable, raising=False)
    settings.get.cache_clear()
    assert look("web_secrets_missing") == (Level.BROKEN, 1)


def test_a_listener_that_is_gone_is_no_finding() -> None:
    given.endpoint(product=None, lease_until=clock.real_now() + timedelta(minutes=1))
    with owner() as connection:
        connection.exec_driver_sql("UPDATE notice_endpoints SET lease_until = created_at")
    assert rows("SELECT state FROM notice_endpoints") == [("on",)]
    for what in ("endpoints_failing", "endpoints_off", "endpoints_off_by_hand", "notices_waiting"):
        assert look(what) == (Level.WELL, 0)
