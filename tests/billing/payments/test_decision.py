"""What a gateway's fact changes of a payment and its order: each state, each fact; no database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing import catalog
from billing.payments import PaymentFacts, Seen
from billing.payments.decision import Change, OrderMove, decide
from billing.payments.inquiries import LAST_LOOK
from billing.payments.queries import STATES
from db.models import Order, Payment
from tests.billing.payments.given import PRICE, news

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(days=2)
WAITS = catalog.Payments(ask_after_minutes=15, capture_after_seconds=20)

CREDITED_STATES = {"captured", "partially_refunded"}
REASONS = {"unmatched": "order_not_known", "quarantined": "amount_mismatch"}
REFUNDED_PAISE = {"partially_refunded": 100, "refunded": PRICE}


def payment(state: str = "created", **more: Any) -> Payment:
    """A payment of Rs 5,000 in some state."""
    credited = state in CREDITED_STATES
    values: dict[str, Any] = {
        "id": 7,
        "gateway": "razorpay",
        "gateway_payment_id": "pay_1",
        "state": state,
        "reason": REASONS.get(state),
        "amount_paise": PRICE,
        "currency": "INR",
        "refunded_paise": REFUNDED_PAISE.get(state, 0),
        "credits": 5_000 if credited else 0,
        "bonus_credits": 500 if credited else 0,
        "credited_at": EARLIER if credited else None,
    }
    return Payment(**values | more)


def order(state: str = "open", **more: Any) -> Order:
    """An order of Rs 5,000 for 5,000 credits and 500 as bonus."""
    values: dict[str, Any] = {
        "id": 3,
        "account_id": 42,
        "gateway_order_id": "order_1",
        "state": state,
        "amount_paise": PRICE,
        "currency": "INR",
        "credits": 5_000,
        "bonus_credits": 500,
    }
    return Order(**values | more)


NO_ORDER: Order | None = None


def decided(
    fact: PaymentFacts,
    before: Payment | None = None,
    wanted: Order | None = NO_ORDER,
    *,
    refusal: str | None = None,
) -> Change:
    return decide(fact, before or payment(), wanted, now=NOW, waits=WAITS, refusal=refusal)


TRANSITIONS = {
    ("created", Seen.AUTHORIZED): "authorized",
    ("created", Seen.CAPTURED): "captured",
    ("created", Seen.FAILED): "failed",
    ("created", Seen.RETURNED): "refunded",
    ("authorized", Seen.CAPTURED): "captured",
    ("authorized", Seen.FAILED): "failed",
    ("authorized", Seen.RETURNED): "refunded",
    ("failed", Seen.AUTHORIZED): "authorized",
    ("failed", Seen.CAPTURED): "captured",
    ("failed", Seen.RETURNED): "refunded",
    ("unmatched", Seen.CAPTURED): "captured",
}
"""(State before, fact) -> state after, if the order is known and open; any other pair stays."""


@pytest.mark.parametrize(
    ("before", "seen", "after"),
    [(before, seen, TRANSITIONS.get((before, seen), before)) for before in STATES for seen in Seen],
)
def test_each_fact_leads_from_each_state_to_one(before: str, seen: Seen, after: str) -> None:
    change = decided(news(seen), payment(before), order())

    assert change.state == after
    # Exactly the states that need a reason have one
    assert (change.reason is not None) == (after in REASONS)
    # And only money that is captured now pays the order
    assert change.pays_order == (after == "captured" and before != "captured")


@pytest.mark.parametrize("seen", Seen)
@pytest.mark.parametrize("before", STATES)
def test_the_rows_are_only_read(before: str, seen: Seen) -> None:
    was, wanted = payment(before), order("requested", gateway_order_id=None)
    rows = (dict(was.__dict__), dict(wanted.__dict__))

    decided(news(seen, refunded_paise=100, method="card"), was, wanted)

    def columns(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if value is not None}

    assert columns(was.__dict__) == columns(rows[0])
    assert columns(wanted.__dict__) == columns(rows[1])


# Captured money and its order


def test_captured_money_that_is_what_was_ordered_pays_the_order() -> None:
    change = decided(news(), payment(), order())

    assert change == Change(
        state="captured",
        reason=None,
        refunded_paise=0,
        details={
            "gateway_order_id": "order_1",
            "amount_paise": PRICE,
            "currency": "INR",
            "order_id": 3,
            "account_id": 42,
            "credits": 5_000,
            "bonus_credits": 500,
            "credited_at": NOW,
        },
        pays_order=True,
        order_moves=(OrderMove("paid", NOW + LAST_LOOK),),
    )


@pytest.mark.parametrize("before", ["created", "authorized", "failed", "unmatched"])
@pytest.mark.parametrize(
    ("reported", "state", "refusal", "reason"),
    [
        ({"currency": "USD"}, "open", None, "currency_mismatch"),
        ({"currency": "USD", "amount_paise": 1}, "paid", "no_plan", "currency_mismatch"),
        ({"amount_paise": PRICE - 1}, "open", None, "amount_mismatch"),
        ({"amount_paise": PRICE + 1}, "paid", "no_plan", "amount_mismatch"),
        ({"amount_paise": 0}, "open", None, "amount_mismatch"),
        ({}, "paid", None, "order_paid_already"),
        ({}, "paid", "no_plan", "order_paid_already"),
        ({}, "open", "no_plan_to_renew", "no_plan_to_renew"),
    ],
)
def test_other_captured_money_is_quarantined_for_the_first_reason(
    before: str, reported: dict[str, Any], state: str, refusal: str | None, reason: str
) -> None:
    change = decided(news(**reported), payment(before), order(state), refusal=refusal)

    assert (change.state, change.reason) == ("quarantined", reason)
    assert (change.pays_order, change.order_moves) == (False, ())
    assert not change.details.keys() & {"credits", "bonus_credits", "credited_at"}
    assert (change.details["order_id"], change.details["account_id"]) == (3, 42)


@pytest.mark.parametrize(
    ("reported", "recorded", "reason"),
    [
        ({"order_id": None}, {}, "no_order"),
        ({"order_id": "order_9"}, {}, "order_not_known"),
        ({"order_id": None, "receipt": "ord_9"}, {}, "order_not_known"),
        ({"order_id": None}, {"gateway_order_id": "order_9"}, "order_not_known"),
        ({"order_id": None}, {"receipt": "ord_9"}, "order_not_known"),
    ],
)
@pytest.mark.parametrize("before", ["created", "authorized", "failed", "unmatched"])
def test_captured_money_without_a_known_order_is_unmatched(
    before: str, reported: dict[str, Any], recorded: dict[str, Any], reason: str
) -> None:
    change = decided(news(**reported), payment(before, **recorded))

    assert (change.state, change.reason) == ("unmatched", reason)
    assert not change.pays_order
    assert not change.details.keys() & {"order_id", "account_id", "credited_at"}


@pytest.mark.parametrize("before", ["captured", "partially_refunded"])
def test_credited_money_stays_with_the_account_that_got_it(before: str) -> None:
    change = decided(news(refunded_paise=100), payment(before, account_id=9), order())

    assert "account_id" not in change.details
    assert change.details["order_id"] == 3


# What a fact reports apart from the state


def test_details_are_filled_in() -> None:
    reported: dict[str, Any] = {
        "receipt": "ord_1",
        "method": "upi",
        "fee_paise": 118,
        "tax_paise": 18,
        "error_code": "BAD",
        "error_reason": "bank said no",
        "happened_at": EARLIER,
    }

    change = decided(news(Seen.FAILED, **reported))

    assert change.details == reported | {"gateway_order_id": "order_1"}


def test_a_known_detail_stays() -> None:
    known = payment(
        gateway_order_id="order_1", receipt="ord_1", method="card", fee_paise=0, tax_paise=0,
        error_code="A", error_reason="a", happened_at=EARLIER,
    )  # fmt: skip
    fact = news(
        Seen.FAILED, order_id="order_2", receipt="ord_2", method="upi", fee_paise=1, tax_paise=1,
        error_code="B", error_reason="b", happened_at=NOW,
    )  # fmt: skip

    assert decided(fact, known).details == {}


@pytest.mark.parametrize(
    ("reported", "after"),
    [(None, EARLIER), (NOW, NOW)],
)
def test_the_time_of_the_capture_replaces_that_of_a_failed_attempt(
    reported: datetime | None, after: datetime
) -> None:
    before = payment("failed", happened_at=EARLIER)

    details = decided(news(happened_at=reported), before, order()).details

    assert details.get("happened_at", before.happened_at) == after


@pytest.mark.parametrize(
    ("before", "seen", "learns"),
    [
        ("created", Seen.CREATED, False),
        ("created", Seen.AUTHORIZED, False),
        ("created", Seen.CAPTURED, True),
        ("quarantined", Seen.CAPTURED, True),
        ("captured", Seen.CAPTURED, False),
    ],
)
def test_the_amount_is_what_was_captured_until_it_is_credited(
    before: str, seen: Seen, learns: bool
) -> None:
    details = decided(news(seen, amount_paise=1, currency="USD"), payment(before), order()).details

    assert ("amount_paise" in details, "currency" in details) == (learns, learns)


# Refunds


@pytest.mark.parametrize(
    ("before", "recorded", "reported", "state", "refunded_paise"),
    [
        ("captured", 0, 100, "partially_refunded", 100),
        ("captured", 0, PRICE, "refunded", PRICE),
        ("captured", 0, PRICE + 1, "refunded", PRICE),
        ("partially_refunded", 300, 200, "partially_refunded", 300),
        ("partially_refunded", 300, 400, "partially_refunded", 400),
        ("partially_refunded", 300, PRICE, "refunded", PRICE),
        ("refunded", PRICE, 100, "refunded", PRICE),
        ("created", 0, 100, "partially_refunded", 100),
        ("created", 0, PRICE, "refunded", PRICE),
        # Refunded in part before the order was known.
        ("unmatched", 100, 0, "partially_refunded", 100),
        ("quarantined", 0, 100, "quarantined", 100),
        ("quarantined", 0, PRICE, "refunded", PRICE),
    ],
)
def test_refunds_grow_and_never_shrink(
    before: str, recorded: int, reported: int, state: str, refunded_paise: int
) -> None:
    was = payment(before, refunded_paise=recorded)

    change = decided(news(refunded_paise=reported), was, order())

    assert (change.state, change.refunded_paise) == (state, refunded_paise)
    assert (change.reason is not None) == (state == "quarantined")


@pytest.mark.parametrize(
    ("reported", "state", "reason"),
    [(100, "unmatched", "order_not_known"), (PRICE, "refunded", None)],
)
def test_unmatched_money_can_be_refunded(reported: int, state: str, reason: str | None) -> None:
    change = decided(news(refunded_paise=reported))

    assert (change.state, change.reason, change.refunded_paise) == (state, reason, reported)


def test_money_that_is_captured_and_refunded_at_first_sight_pays_the_order() -> None:
    change = decided(news(refunded_paise=PRICE), payment(), order())

    assert (change.state, change.pays_order) == ("refunded", True)


@pytest.mark.parametrize("seen", [Seen.CREATED, Seen.AUTHORIZED, Seen.FAILED])
def test_a_refund_of_money_in_doubt_does_not_count_yet(seen: Seen) -> None:
    change = decided(news(seen, refunded_paise=100), payment(), order())

    assert (change.state, change.refunded_paise) == (seen.value, 0)


@pytest.mark.parametrize("before", ["created", "authorized", "failed"])
def test_money_that_was_returned_is_refunded_as_a_whole(before: str) -> None:
    change = decided(news(Seen.RETURNED), payment(before), order())

    assert (change.state, change.refunded_paise, change.pays_order) == ("refunded", PRICE, False)


# The order


@pytest.mark.parametrize("state", ["requested", "unknown", "refused"])
def test_an_order_that_the_gateway_turns_out_to_have_opens(state: str) -> None:
    wanted = order(state, gateway_order_id=None)
    opens = OrderMove("open", NOW + timedelta(minutes=15))

    first, paid = decided(news(Seen.CREATED), wanted=wanted), decided(news(), wanted=wanted)

    assert (first.gateway_order_id, first.order_moves) == ("order_1", (opens,))
    assert paid.order_moves == (opens, OrderMove("paid", NOW + LAST_LOOK))


@pytest.mark.parametrize("state", ["open", "expired"])
def test_another_order_only_gets_its_id(state: str) -> None:
    change = decided(news(Seen.CREATED), wanted=order(state, gateway_order_id=None))

    assert (change.gateway_order_id, change.order_moves) == ("order_1", ())


@pytest.mark.parametrize(
    ("fact", "known"),
    [
        (news(Seen.CREATED, order_id="order_2"), "order_1"),
        (news(Seen.CREATED, order_id=None, receipt="ord_1"), None),
    ],
)
def test_an_order_keeps_its_id_and_gets_none_from_a_receipt(
    fact: PaymentFacts, known: str | None
) -> None:
    change = decided(fact, wanted=order("requested", gateway_order_id=known))

    assert (change.gateway_order_id, change.order_moves) == (None, ())


@pytest.mark.parametrize("state", ["requested", "unknown", "refused", "expired"])
def test_an_order_in_any_other_state_can_still_be_paid(state: str) -> None:
    change = decided(news(), payment(), order(state))

    assert (change.state, change.order_moves[-1].state) == ("captured", "paid")


@pytest.mark.parametrize(
    ("before", "seen", "wait"),
    [
        ("created", Seen.AUTHORIZED, timedelta(seconds=20)),
        ("failed", Seen.AUTHORIZED, timedelta(seconds=20)),
        ("created", Seen.FAILED, timedelta(minutes=15)),
        ("authorized", Seen.FAILED, timedelta(minutes=15)),
        ("created", Seen.CREATED, None),
        ("authorized", Seen.AUTHORIZED, None),
        ("created", Seen.CAPTURED, None),
        ("created", Seen.RETURNED, None),
    ],
)
def test_the_gateway_is_asked_about_money_that_is_newly_in_doubt(
    before: str, seen: Seen, wait: timedelta | None
) -> None:
    assert decided(news(seen), payment(before), order()).ask_within == wait
    assert decided(news(seen), payment(before)).ask_within is None


@pytest.mark.parametrize("seen", [Seen.AUTHORIZED, Seen.CAPTURED])
@pytest.mark.parametrize("ahead", [timedelta(seconds=2), timedelta(days=365)])
def test_a_payment_of_a_clock_that_is_ahead_was_made_when_it_became_known(
    seen: Seen, ahead: timedelta
) -> None:
    details = decided(news(seen, happened_at=NOW + ahead), payment(), order()).details

    assert details["happened_at"] == NOW
