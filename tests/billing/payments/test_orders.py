"""Orders: recorded before the gateway is asked, found again after, asked about in their time."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import clock
from billing import catalog
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.payments import OrderAtOdds, Seen, inquiries, orders
from billing.plans import InvalidOrder
from db.models import Order
from db.session import transaction
from errors import TransientError
from tests.billing.given import at_once, open_account, rows
from tests.billing.payments.given import (
    news,
    open_order,
    opened,
    order_facts,
    order_state,
    request,
    take_in,
)

pytestmark = pytest.mark.usefixtures("database")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LOST = TransientError("no answer")


@pytest.fixture(autouse=True)
def clinic(database: str) -> str:
    return open_account()


def asks(order: Order, *, until: timedelta) -> list[timedelta]:
    """When the gateway would be asked about an order that nobody pays, from its first minute on."""
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


def test_an_order_is_a_row_before_the_gateway_is_asked() -> None:
    order = request()

    assert (order.state, order.gateway_order_id) == ("requested", None)
    assert (order.amount_paise, order.credits, order.bonus_credits) == (500_000, 5_000, 500)
    assert len(order.receipt) <= 40
    assert order.next_ask_at is not None


def test_one_operation_makes_one_order() -> None:
    first, again, other = request("op"), request("op"), request("another")

    assert first.id == again.id != other.id
    assert at_once(*[lambda: request("op-2").id] * 4).count(request("op-2").id) == 4


@pytest.mark.parametrize(
    "other", [{"package": "credits_1000"}, {"amount_paise": 500_000}, {"gateway": "stripe"}]
)
def test_an_operation_that_asks_for_something_else_is_refused(other: dict[str, Any]) -> None:
    request("op")

    with pytest.raises(IdempotencyConflict):
        request("op", **other)


def test_a_repeat_is_the_order_that_was_whatever_the_catalog_sells_by_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = request("op", package="credits_5000")
    known = catalog.get()
    monkeypatch.setattr(catalog, "get", lambda: known.model_copy(update={"packages": {}}))

    again = request("op", package="credits_5000")

    assert (again.id, again.amount_paise) == (first.id, 500_000)


def test_an_unknown_account_and_a_bad_wish_leave_no_order() -> None:
    with pytest.raises(UnknownAccount):
        request(account="clinic:unknown")
    with pytest.raises(InvalidOrder):
        request(amount_paise=1)

    assert rows("SELECT 1 FROM billing_orders") == []


def test_an_answer_opens_the_order_and_again_changes_nothing() -> None:
    order = request()

    opened(order)
    opened(order)

    assert order_state(order) == "open"
    assert rows(
        "SELECT action FROM billing_audit_log WHERE subject LIKE 'order:%' ORDER BY id"
    ) == [
        ("order.requested",),
        ("order.open",),
    ]


@pytest.mark.parametrize("wrong", [{"amount_paise": 1}, {"currency": "USD"}])
def test_an_answer_with_another_amount_is_not_taken(wrong: dict[str, Any]) -> None:
    order = request()

    with pytest.raises(OrderAtOdds):
        opened(order, **wrong)

    assert order_state(order) == "requested"


def test_an_order_that_is_found_late_may_have_another_amount_by_now() -> None:
    order = request()
    with transaction() as session:
        orders.record_unanswered(session, order.id, LOST)
        orders.record_opened(session, order.id, order_facts(order, amount_paise=250_000), late=True)
    assert order_state(order) == "open"

    assert take_in(news(amount_paise=250_000)).states == ["quarantined"]


def test_an_order_without_an_answer_is_unknown_until_the_gateway_tells() -> None:
    order = request()
    with transaction() as session:
        orders.record_unanswered(session, order.id, LOST)
    assert order_state(order) == "unknown"

    opened(order)

    assert order_state(order) == "open"


def test_a_refused_order_can_still_be_paid_where_the_gateway_has_it_after_all() -> None:
    order = request()
    with transaction() as session:
        orders.record_refused(session, order.id, LOST)
    assert order_state(order) == "refused"

    take_in(news(receipt=order.receipt))

    assert order_state(order) == "paid"


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


def test_two_that_lease_at_once_never_get_the_same_order() -> None:
    with clock.frozen(NOON):
        for i in range(10):
            open_order(f"order_{i}", f"op-{i}")
        clock.advance(timedelta(hours=1))

        def lease() -> list[int]:
            with transaction() as session:
                return [o.id for o in inquiries.lease_due(session, gateway="razorpay", limit=5)]

        leased = [id_ for ids in at_once(*[lease] * 4) for id_ in ids]  # type: ignore[attr-defined]

    assert len(leased) == len(set(leased)) == 10


def test_a_gateway_that_does_not_answer_is_left_alone_for_a_minute() -> None:
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
