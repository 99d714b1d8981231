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


def check() -> list[str]:
    with transaction() as session:
        return gateway_heartbeat.report_silent(session)


def hear(gateway: str = "razorpay") -> None:
    with transaction() as session:
        gateway_heartbeat.record_event(session, gateway)


def told() -> list[object]:
    return [row[0] for row in rows("SELECT topic FROM outbox_events WHERE topic LIKE 'gateway.%'")]


def test_a_gateway_that_never_sent_anything_is_reported_once() -> None:
    open_order()
    clock.advance(2 * HOURS)

    assert (check(), check()) == (["razorpay"], [])
    assert told() == ["gateway.silent"]


def test_silence_without_open_orders_is_none() -> None:
    hear()
    open_order()
    take_in(news())
    clock.advance(9 * HOURS)

    assert check() == []


def test_a_young_order_says_nothing_of_an_old_silence() -> None:
    hear()
    clock.advance(9 * HOURS)
    open_order()
    clock.advance(HOURS)

    assert check() == []


def test_a_gateway_that_is_heard_is_not_silent() -> None:
    open_order()
    clock.advance(HOURS)
    hear()
    clock.advance(HOURS)

    assert check() == []


def test_another_gateway_is_no_sign_of_this_one() -> None:
    open_order()
    clock.advance(2 * HOURS)
    hear("stripe")

    assert check() == ["razorpay"]


def test_a_gateway_that_is_heard_again_is_told_and_can_fall_silent_again() -> None:
    open_order()
    clock.advance(2 * HOURS)
    check()

    hear()
    hear()
    assert told() == ["gateway.silent", "gateway.heard"]
    clock.advance(2 * HOURS)

    assert check() == ["razorpay"]


def test_two_ticks_at_once_report_once() -> None:
    open_order()
    clock.advance(2 * HOURS)

    found = at_once(check, check, check)

    assert sorted(map(len, found)) == [0, 0, 1]  # type: ignore[arg-type]
    assert told() == ["gateway.silent"]
