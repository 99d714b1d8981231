"""Inquiries: each order is asked about in growing intervals, by one process, and not for ever."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing.payments import Seen, inquiries
from db.models import Order
from db.session import transaction
from errors import TransientError
from tests.billing.given import at_once, open_account, rows
from tests.billing.payments.given import news, open_order, order_facts, order_state, take_in

pytestmark = pytest.mark.usefixtures("database")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LOST = TransientError("no answer")


@pytest.fixture(autouse=True)
def clinic(database: str) -> str:
    return open_account()


def asks(order: Order, *, until: timedelta) -> list[timedelta]:
    """The times of the inquiries about an order that nobody pays, counted from now."""
    times: list[timedelta] = []
    start = clock.now()
    while True:
        due = rows("SELECT next_ask_at FROM billing_orders WHERE id = :id", id=order.id)[0][0]
        if due is None or due - start > until:  # type: ignore[operator]
            return times
        clock.advance(due - clock.now())  # type: ignore[operator]
        with transaction() as session:
            leased = inquiries.lease_due(session, gateway="razorpay", limit=10)
            assert [found.id for found in leased] == [order.id]
        times.append(clock.now() - start)
        with transaction() as session:
            inquiries.record_answer(session, order.id, order_facts(order))


def test_an_order_that_nobody_pays_is_asked_about_in_growing_intervals_and_then_given_up() -> None:
    with clock.frozen(NOON):
        order = open_order()

        found = asks(order, until=timedelta(days=30))

        minutes = [int(time / timedelta(minutes=1)) for time in found]
        assert minutes[:6] == [15, 45, 105, 225, 465, 945]
        gaps = [later - earlier for earlier, later in itertools.pairwise(minutes)]
        assert max(gaps) == 24 * 60
        assert timedelta(days=7) < found[-1] < timedelta(days=9)
        assert order_state(order) == "expired"


def test_an_expired_order_that_is_paid_late_is_paid() -> None:
    with clock.frozen(NOON):
        order = open_order()
        clock.advance(timedelta(days=8))
        with transaction() as session:
            inquiries.record_answer(session, order.id, order_facts(order))
        assert order_state(order) == "expired"

        take_in(news(Seen.CAPTURED))

    assert order_state(order) == "paid"


def test_an_order_that_ended_at_the_gateway_expires() -> None:
    order = open_order(gateway="stripe", order_id="cs_1")

    with transaction() as session:
        inquiries.record_answer(session, order.id, order_facts(order, "cs_1", ended=True))

    assert order_state(order) == "expired"
    assert rows("SELECT next_ask_at FROM billing_orders") == [(None,)]


def test_two_processes_that_lease_at_once_never_get_the_same_order() -> None:
    with clock.frozen(NOON):
        for i in range(10):
            open_order(f"order_{i}", f"op-{i}")
        clock.advance(timedelta(hours=1))

        def lease() -> list[int]:
            with transaction() as session:
                return [o.id for o in inquiries.lease_due(session, gateway="razorpay", limit=5)]

        leased = [id_ for ids in at_once(*[lease] * 4) for id_ in ids]  # type: ignore[attr-defined]

    assert len(leased) == len(set(leased)) == 10


def test_a_gateway_that_does_not_answer_is_not_asked_for_a_minute() -> None:
    with clock.frozen(NOON):
        first, second = open_order(), open_order("order_2", "op-2")
        clock.advance(timedelta(minutes=20))
        with transaction() as session:
            (leased,) = inquiries.lease_due(session, gateway="razorpay", limit=1)
        assert leased.id == first.id
        with transaction() as session:
            inquiries.record_no_answer(session, first.id, LOST)
            inquiries.postpone(session, "razorpay")

        due = rows("SELECT id, next_ask_at FROM billing_orders ORDER BY id")

        soon = NOON + timedelta(minutes=21)
        assert due == [(first.id, soon), (second.id, soon)]
