"""Orders: recorded before the gateway is asked, one for each operation, and found again after."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing import catalog
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.payments import OrderAtOdds, orders
from billing.plans import InvalidOrder
from db.session import transaction
from errors import TransientError
from tests.billing.given import at_once, open_account, rows
from tests.billing.payments.given import (
    news,
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
def test_an_operation_that_is_repeated_with_another_request_is_refused(
    other: dict[str, Any],
) -> None:
    request("op")

    with pytest.raises(IdempotencyConflict):
        request("op", **other)


def test_a_repeat_returns_the_same_order_whatever_the_catalog_sells_by_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = request("op", package="credits_5000")
    known = catalog.get()
    monkeypatch.setattr(catalog, "get", lambda: known.model_copy(update={"packages": {}}))

    again = request("op", package="credits_5000")

    assert (again.id, again.amount_paise) == (first.id, 500_000)


def test_an_unknown_account_or_an_invalid_request_leaves_no_order() -> None:
    with pytest.raises(UnknownAccount):
        request(account="clinic:unknown")
    with pytest.raises(InvalidOrder):
        request(amount_paise=1)

    assert rows("SELECT 1 FROM billing_orders") == []


def test_an_answer_opens_the_order_and_a_repeat_changes_nothing() -> None:
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
def test_an_answer_with_another_amount_or_currency_is_refused(wrong: dict[str, Any]) -> None:
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


def test_an_order_without_an_answer_is_unknown_until_the_gateway_answers() -> None:
    order = request()
    with transaction() as session:
        orders.record_unanswered(session, order.id, LOST)
    assert order_state(order) == "unknown"

    opened(order)

    assert order_state(order) == "open"


def test_a_refused_order_can_still_be_paid_if_the_gateway_has_it_after_all() -> None:
    order = request()
    with transaction() as session:
        orders.record_refused(session, order.id, LOST)
    assert order_state(order) == "refused"

    take_in(news(receipt=order.receipt))

    assert order_state(order) == "paid"
