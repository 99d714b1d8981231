"""A gateway that falls silent while orders wait is reported once, and once when it is back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing.payments import gateway_heartbeat
from db.session import transaction
from tests.billing.given import at_once, open_account, rows
from tests.billing.payments.given import news, open_order, take_in

pytestmark = pytest.mark.usefixtures("database")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOURS = timedelta(hours=1)
"""The catalog lets a gateway be silent for two."""


@pytest.fixture(autouse=True)
def noon(database: str) -> Iterator[None]:
    open_account()
    with clock.frozen(NOON):
        yield


def report_silent() -> list[str]:
    with transaction() as session:
        return gateway_heartbeat.report_silent(session)


def record_event(gateway: str = "razorpay") -> None:
    with transaction() as session:
        gateway_heartbeat.record_event(session, gateway)


def notices() -> list[object]:
    return [row[0] for row in rows("SELECT topic FROM outbox_events WHERE topic LIKE 'gateway.%'")]


def test_a_gateway_that_never_sent_anything_is_reported_once() -> None:
    open_order()
    clock.advance(2 * HOURS)

    assert (report_silent(), report_silent()) == (["razorpay"], [])
    assert notices() == ["gateway.silent"]


def test_silence_without_open_orders_is_none() -> None:
    record_event()
    open_order()
    take_in(news())
    clock.advance(9 * HOURS)

    assert report_silent() == []


def test_a_young_order_says_nothing_of_an_old_silence() -> None:
    record_event()
    clock.advance(9 * HOURS)
    open_order()
    clock.advance(HOURS)

    assert report_silent() == []


def test_a_gateway_that_is_heard_is_not_silent() -> None:
    open_order()
    clock.advance(HOURS)
    record_event()
    clock.advance(HOURS)

    assert report_silent() == []


def test_another_gateway_is_no_sign_of_this_one() -> None:
    open_order()
    clock.advance(2 * HOURS)
    record_event("stripe")

    assert report_silent() == ["razorpay"]


def test_a_gateway_that_is_heard_again_is_reported_and_can_fall_silent_again() -> None:
    open_order()
    clock.advance(2 * HOURS)
    report_silent()

    record_event()
    record_event()
    assert notices() == ["gateway.silent", "gateway.heard"]
    clock.advance(2 * HOURS)

    assert report_silent() == ["razorpay"]


def test_two_ticks_at_once_report_once() -> None:
    open_order()
    clock.advance(2 * HOURS)

    found = at_once(report_silent, report_silent, report_silent)

    assert sorted(map(len, found)) == [0, 0, 1]  # type: ignore[arg-type]
    assert notices() == ["gateway.silent"]


def start_listing(gateway: str = "razorpay") -> bool:
    with transaction() as session:
        return gateway_heartbeat.start_listing(session, gateway)


def test_to_be_asked_is_no_sign_of_life() -> None:
    start_listing()
    open_order()
    clock.advance(2 * HOURS)

    assert (report_silent(), report_silent()) == (["razorpay"], [])
    assert rows("SELECT payload -> 'last_event_at' FROM outbox_events") == [(None,)]
    record_event()
    assert notices() == ["gateway.silent", "gateway.heard"]


def test_refunds_and_disputes_are_listed_once_an_hour() -> None:
    assert (start_listing(), start_listing(), start_listing("stripe")) == (True, False, True)

    clock.advance(HOURS)

    assert start_listing()


def test_a_listing_that_was_not_answered_is_started_again_soon() -> None:
    start_listing()
    with transaction() as session:
        gateway_heartbeat.retry_listing_soon(session, "razorpay")

    assert not start_listing()
    clock.advance(timedelta(minutes=5))
    assert start_listing()
