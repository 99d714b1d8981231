"""Inquiry at the gateways: what no webhook reported is found in time, once, and never for ever."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import requests
import structlog
from redis import Redis
from sqlalchemy import text
from structlog.testing import capture_logs

import clock
import settings
from db.session import transaction
from devstack.simulator.razorpay import attempts
from gateways.errors import GatewayUnavailable, OutcomeUnknown
from tasks.payments import checkout
from tasks.payments import inquiry as payments
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    balance,
    give,
    open_account,
    post_all,
    rows,
)
from tests.gateways.conftest import KEY_ID, KEY_SECRET, Door, Sim, listening
from tests.tasks.given import deliver, work
from tests.tasks.returns.given import (
    buy,
    deliver_razorpay,
    payment_at,
    razorpay_event,
    stripe_event,
)

pytestmark = pytest.mark.usefixtures("sim", "redis")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def noon(database: str) -> Iterator[None]:
    open_account()
    with clock.frozen(NOON):
        yield
    structlog.reset_defaults()


@pytest.fixture
def door() -> Iterator[Door]:
    """A gateway with scripted answers."""
    with listening() as it:
        yield it


def after(wait: timedelta) -> list[str]:
    """Let time pass, let beat tick, and return the lines that operators look for."""
    clock.advance(wait)
    with capture_logs() as logs:
        payments.ask()
    return [line["event"] for line in logs if line["log_level"] == "info"]


def lost_order(sim: Sim, gateway: str = "razorpay", key: str = "op-1") -> None:
    """An order that the gateway opened and whose answer never came."""
    sim.set(lost_response=1)
    with pytest.raises(OutcomeUnknown):
        buy("stripe" if gateway == "stripe" else "razorpay", key)
    sim.set(lost_response=0)


def orders() -> list[tuple[object, ...]]:
    """(state, next_ask_at) of the orders."""
    return list(rows("SELECT state, next_ask_at FROM billing_orders ORDER BY id"))


def order_states() -> list[object]:
    return [state for state, _ in orders()]


def payment_states() -> list[object]:
    return [row[0] for row in rows("SELECT state FROM billing_payments ORDER BY id")]


# --- webhooks that never came


@pytest.mark.parametrize("gateway", ["razorpay", "stripe"])
def test_a_webhook_that_never_came_is_made_good_after_a_quarter_of_an_hour(
    sim: Sim, gateway: str
) -> None:
    sim.pay(str(buy("stripe" if gateway == "stripe" else "razorpay").order_id))

    assert after(14 * MINUTE) == []
    assert balance() == 0
    [line] = after(MINUTE)

    [(paid,)] = rows("SELECT gateway_payment_id FROM billing_payments")
    assert line == f"Payment verified: {paid}, Credits 5500"
    assert (balance(), order_states()) == (5_500, ["paid"])
    assert rows("SELECT DISTINCT actor FROM credit_transactions") == [("system:payments",)]
    assert after(DAY) == []
    assert_ledger_is_clean()


def test_an_order_that_nobody_pays_is_asked_about_less_and_less_and_given_up(sim: Sim) -> None:
    buy()
    asked: list[int] = []
    while (due := orders()[0][1]) is not None:
        assert isinstance(due, datetime)
        assert after(due - clock.now()) == []
        asked.append((clock.now() - NOON) // MINUTE)

    assert asked[:6] == [15, 45, 105, 225, 465, 945]
    assert max(later - before for before, later in pairwise(asked)) == 24 * 60
    assert 7 * 24 * 60 < asked[-1] <= 8 * 24 * 60 + 945
    assert order_states() == ["expired"]


def test_the_webhook_that_comes_after_all_credits_nothing_more(sim: Sim) -> None:
    paid = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    after(15 * MINUTE)

    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))
    work("razorpay")

    assert balance() == 5_500


def test_an_order_that_expired_here_is_still_paid_by_its_webhook(sim: Sim) -> None:
    order_id = str(buy().order_id)
    while orders()[0][1] is not None:
        after(DAY)
    assert order_states() == ["expired"]

    paid = sim.pay(order_id)["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))
    work("razorpay")

    assert (balance(), order_states()) == (5_500, ["paid"])


# --- payments in doubt


def test_a_payment_left_authorized_is_captured_after_twenty_seconds(sim: Sim) -> None:
    paid = sim.pay(str(buy().order_id), "authorized")["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.authorized", paid))
    work("razorpay")

    assert after(19 * SECOND) == []
    assert payment_at(sim, paid)["status"] == "authorized"

    assert after(SECOND) == [f"Payment verified: {paid}, Credits 5500"]
    assert payment_at(sim, paid)["status"] == "captured"
    assert (balance(), order_states()) == (5_500, ["paid"])


def test_an_authorized_payment_that_no_webhook_told_of_is_captured_too(sim: Sim) -> None:
    paid = sim.pay(str(buy().order_id), "authorized")["razorpay_payment_id"]

    assert after(15 * MINUTE) == [f"Payment verified: {paid}, Credits 5500"]


def test_an_authorized_payment_of_another_amount_is_not_captured(sim: Sim) -> None:
    sim.set(short_payment=1)
    paid = sim.pay(str(buy().order_id), "authorized")["razorpay_payment_id"]

    assert after(15 * MINUTE) == []
    assert payment_at(sim, paid)["status"] == "authorized"
    assert payment_states() == ["authorized"]


def test_a_failed_payment_that_the_bank_allows_late_is_credited(sim: Sim) -> None:
    order_id = str(buy().order_id)
    failed = sim.pay(order_id, "failure")["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.failed", failed))
    work("razorpay")
    with sim.world.lock:
        attempts.authorize_late(sim.world, payment_at(sim, failed))

    assert after(15 * MINUTE) == [f"Payment verified: {failed}, Credits 5500"]


@pytest.mark.parametrize("reported", [True, False], ids=["seen before", "never heard of"])
def test_a_second_captured_payment_whose_webhook_was_lost_ends_quarantined(
    sim: Sim, *, reported: bool
) -> None:
    # Given an order that was paid, and paid again though Razorpay should not let that happen
    sim.set(second_payment="capture")
    order_id = str(buy().order_id)
    second = sim.pay(order_id, "failure")["razorpay_payment_id"]
    if reported:
        deliver_razorpay(razorpay_event(sim, "payment.failed", second))
    first = sim.pay(order_id)["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", first))
    work("razorpay")
    assert balance() == 5_500
    with sim.world.lock:
        attempts.authorize_late(sim.world, payment_at(sim, second))
    assert payment_at(sim, second)["status"] == "captured"
    # When time passes
    lines = [line for _ in range(8) for line in after(6 * 60 * MINUTE)]
    # Then an operator sees it
    assert lines == []
    assert rows(
        "SELECT gateway_payment_id, reason FROM billing_payments WHERE state = 'quarantined'"
    ) == [(second, "order_paid_already")]
    assert balance() == 5_500
    assert orders() == [("paid", None)]


# --- answers that were lost


@pytest.mark.parametrize("gateway", ["razorpay", "stripe"])
def test_an_order_whose_answer_was_lost_is_found_by_its_receipt(sim: Sim, gateway: str) -> None:
    lost_order(sim, gateway)
    assert order_states() == ["unknown"]

    after(2 * MINUTE)

    assert order_states() == ["open"]
    again = buy("stripe" if gateway == "stripe" else "razorpay")
    known = {*sim.world.razorpay.orders, *sim.world.stripe.sessions}
    assert {again.order_id} == known
    assert (again.checkout_url is not None) == (gateway == "stripe")


def test_an_order_that_was_paid_before_its_answer_was_found_is_credited(sim: Sim) -> None:
    lost_order(sim)
    [order_id] = sim.world.razorpay.orders
    paid = sim.pay(order_id)["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))
    work("razorpay")
    assert payment_states() == ["unmatched"]

    assert after(2 * MINUTE) == [f"Payment verified: {paid}, Credits 5500"]
    assert (balance(), order_states(), payment_states()) == (5_500, ["paid"], ["captured"])


@pytest.mark.parametrize("gone", [True, False])
def test_an_order_paid_before_its_id_was_known_is_found_or_left_alone(
    sim: Sim, *, gone: bool
) -> None:
    """Stripe's intent names our receipt, and not its session."""
    lost_order(sim, "stripe")
    [session_id] = sim.world.stripe.sessions
    sim.pay(session_id)
    deliver(stripe_event(sim, session_id, "payment_intent.succeeded"), source="stripe")
    work("stripe")
    assert (balance(), order_states()) == (5_500, ["paid"])
    if gone:
        sim.world.stripe.sessions.clear()

    for _ in range(2):
        after(DAY)

    assert orders() == [("paid", None)]
    [(found,)] = rows("SELECT gateway_order_id FROM billing_orders")
    assert found == (None if gone else session_id)
    assert balance() == 5_500


def test_money_that_came_before_its_order_was_known_is_placed_at_the_next_tick(sim: Sim) -> None:
    # Given money of an order whose answer our own process has not stored yet
    lost_order(sim)
    [order_id] = sim.world.razorpay.orders
    paid = sim.pay(order_id)["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))
    work("razorpay")
    with transaction() as session:
        session.execute(
            text("UPDATE billing_orders SET state = 'open', gateway_order_id = :id"),
            {"id": order_id},
        )

    assert after(SECOND) == [f"Payment verified: {paid}, Credits 5500"]
    assert (after(SECOND), balance()) == ([], 5_500)


def test_an_order_that_was_never_opened_is_refused_when_nobody_can_open_it_any_more(
    sim: Sim,
) -> None:
    sim.set(rate_limited=1)
    with pytest.raises(GatewayUnavailable):
        buy()
    sim.set(rate_limited=0)

    for _ in range(9):
        after(MINUTE)
    assert order_states() == ["unknown"]
    after(MINUTE)

    assert orders() == [("refused", None)]
    assert sim.world.razorpay.orders == {}
    with pytest.raises(checkout.OrderRefused):
        buy()


# --- gateways that do not answer


@pytest.mark.parametrize("fault", ["rate_limited", "bad_gateway", "html_answer"])
def test_a_gateway_that_is_down_is_left_alone_for_a_minute_and_heals(sim: Sim, fault: str) -> None:
    paid = [sim.pay(str(buy(key=f"op-{i}").order_id))["razorpay_payment_id"] for i in range(3)]
    stripe_order = str(buy("stripe", key="op-s").order_id)
    sim.pay(stripe_order)
    asked: list[str] = []
    sim.set(**{fault: 1})
    after(15 * MINUTE)
    assert [row[1] for row in orders()] == [clock.now() + MINUTE] * 4
    sim.set(**{fault: 0})
    assert after(30 * SECOND) == []

    asked = after(30 * SECOND)

    assert len(asked) == 4
    assert balance() == 4 * 5_500
    assert {line.split()[2].rstrip(",") for line in asked} > set(paid)


def test_an_outage_does_not_make_the_orders_wait_any_longer_after_it(sim: Sim) -> None:
    # Given an order that nobody had paid when a gateway was away for two hours
    order_id = str(buy().order_id)
    sim.set(bad_gateway=1)
    for _ in range(120):
        after(MINUTE)
    sim.set(bad_gateway=0)
    for _ in range(10):
        after(MINUTE)
    # When it is paid, without a webhook
    sim.pay(order_id)
    # Then it is asked about as if nothing had been
    for _ in range(3 * 60):
        after(MINUTE)
    assert balance() == 5_500


def test_one_order_that_makes_the_gateway_fail_does_not_starve_the_others(
    sim: Sim, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every question about the first order ends in a 502, all others are answered."""
    first = str(buy().order_id)
    buy(key="op-2")
    second = rows("SELECT gateway_order_id FROM billing_orders ORDER BY id")[1][0]

    def answer(method: str, path: str, _: object) -> tuple[int, object]:
        if first in path:
            return 502, ""
        with requests.request(
            method, sim.url + path, auth=(KEY_ID, KEY_SECRET), timeout=5
        ) as found:
            return found.status_code, found.json()

    door.answer = answer
    monkeypatch.setenv("RAZORPAY_API_BASE", door.url)
    settings.get.cache_clear()
    sim.pay(str(second))

    after(15 * MINUTE)
    for _ in range(5):
        after(MINUTE)

    assert balance() == 5_500
    assert order_states() == ["open", "paid"]


def test_a_wrong_key_is_told_and_heals_when_it_is_mended(
    sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.pay(str(buy().order_id))
    with monkeypatch.context() as patch:
        patch.setenv("RAZORPAY_KEY_SECRET", "the-wrong-secret")
        settings.get.cache_clear()
        clock.advance(15 * MINUTE)
        with capture_logs() as logs:
            payments.ask()
    settings.get.cache_clear()
    [warning] = [line for line in logs if line["event"] == "gateway not asked"]
    assert "RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET" in warning["error"]
    assert "the-wrong-secret" not in str(logs)
    [(error,)] = rows("SELECT last_error FROM billing_orders")
    assert "GatewayKeyRefused" in str(error)

    assert len(after(MINUTE)) == 1
    assert balance() == 5_500


def test_a_key_that_can_be_none_keeps_nobody_from_asking_the_other_gateway(
    sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy("stripe", key="op-s")
    sim.pay(str(buy().order_id))
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_k\u00e9y")
    settings.get.cache_clear()

    clock.advance(3 * 60 * MINUTE)
    with capture_logs() as logs:
        payments.ask()

    assert balance() == 5_500
    assert [line["gateway"] for line in logs if line["event"] == "gateway is silent"] == ["stripe"]


def test_money_that_cannot_be_placed_keeps_nobody_from_asking(sim: Sim) -> None:
    # Given unmatched money whose ledger key somebody has used for something else
    lost_order(sim)
    [order_id] = sim.world.razorpay.orders
    odd = sim.pay(order_id)["razorpay_payment_id"]
    deliver_razorpay(razorpay_event(sim, "payment.captured", odd))
    work("razorpay")
    post_all(give(7, key=f"razorpay:{odd}:top_up"))
    with transaction() as session:
        session.execute(
            text("UPDATE billing_orders SET state = 'open', gateway_order_id = :id"),
            {"id": order_id},
        )
    # And an order that is paid
    sim.pay(str(buy(key="op-2").order_id))

    lines = after(15 * MINUTE)

    assert len(lines) == 1
    assert balance() == 7 + 5_500


# --- the ends of orders


def test_a_session_that_expired_at_stripe_ends_the_order(sim: Sim) -> None:
    order_id = str(buy("stripe").order_id)
    sim.expire(order_id)

    after(15 * MINUTE)

    assert orders() == [("expired", None)]


def test_an_order_that_the_gateway_does_not_know_any_more_is_not_asked_about_for_ever(
    sim: Sim,
) -> None:
    buy()
    sim.world.razorpay.orders.clear()

    after(15 * MINUTE)
    [(error,)] = rows("SELECT last_error FROM billing_orders")
    assert "does not exist" in str(error)
    for _ in range(10):
        after(DAY)

    assert orders() == [("expired", None)]


def test_an_order_that_was_never_opened_and_cannot_be_looked_up_is_given_up(
    sim: Sim, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.set(rate_limited=1)
    with pytest.raises(GatewayUnavailable):
        buy()
    refusal = {"error": {"code": "BAD_REQUEST_ERROR", "description": "No lists for you"}}
    door.says(400, refusal)
    monkeypatch.setenv("RAZORPAY_API_BASE", door.url)
    settings.get.cache_clear()

    for _ in range(12):
        after(DAY)

    assert orders() == [("refused", None)]
    assert len(door.asked) < 15


def test_an_order_of_which_the_gateway_says_what_nobody_can_read_is_given_up_in_the_end(
    sim: Sim, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy()
    odd = {"id": "pay_1", "amount": 500_000, "currency": "INR", "status": "melted"}
    door.says(200, {"entity": "collection", "count": 1, "items": [odd]})
    monkeypatch.setenv("RAZORPAY_API_BASE", door.url)
    settings.get.cache_clear()

    for _ in range(30):
        after(DAY)
    assert order_states() == ["open"]
    after(DAY)

    assert orders() == [("expired", None)]
    [(error,)] = rows("SELECT last_error FROM billing_orders")
    assert "status is not a known status" in str(error)


# --- two at once, and silence


def test_two_ticks_at_once_capture_and_credit_once(sim: Sim, many_connections: None) -> None:
    for i in range(6):
        sim.pay(str(buy(key=f"op-{i}").order_id), "authorized")
    clock.advance(15 * MINUTE)

    def ask_without_the_turn() -> None:
        # As when Redis is away, and two processes hold the lock.
        payments.ask_gateway("razorpay", stop_at=time.monotonic() + 20)

    with capture_logs() as logs:
        at_once(ask_without_the_turn, ask_without_the_turn, payments.ask)

    lines = [line["event"] for line in logs if line["event"].startswith("Payment verified")]
    assert len(lines) == len(set(lines)) == 6
    assert balance() == 6 * 5_500
    assert_ledger_is_clean()


def test_a_tick_leaves_the_turn_to_one_that_is_under_way(sim: Sim, redis: Redis) -> None:
    sim.pay(str(buy().order_id))
    redis.set("billing:turn:asking_about_orders", 1, ex=60)

    assert after(15 * MINUTE) == []
    redis.delete("billing:turn:asking_about_orders")
    assert len(after(SECOND)) == 1
    assert redis.get("billing:turn:asking_about_orders") is None


def test_a_gateway_that_falls_silent_is_an_error_in_the_log_and_a_notice_once(sim: Sim) -> None:
    buy()
    clock.advance(2 * 60 * MINUTE)
    with capture_logs() as logs:
        payments.ask()
        payments.ask()

    assert [
        (line["log_level"], line["gateway"])
        for line in logs
        if line["event"] == "gateway is silent"
    ] == [("error", "razorpay")]
    assert rows("SELECT topic, subject FROM outbox_events WHERE topic LIKE 'gateway.%'") == [
        ("gateway.silent", "gateway:razorpay")
    ]


def test_a_sign_of_life_ends_the_silence(sim: Sim) -> None:
    paid = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    buy(key="op-2")
    after(2 * 60 * MINUTE)
    deliver_razorpay(razorpay_event(sim, "payment.captured", paid))
    work("razorpay")

    assert rows("SELECT topic FROM outbox_events WHERE topic LIKE 'gateway.%' ORDER BY id") == [
        ("gateway.silent",),
        ("gateway.heard",),
    ]


def test_a_webhook_of_stripe_and_a_tick_at_once_credit_once(
    sim: Sim, many_connections: None
) -> None:
    order_id = str(buy("stripe").order_id)
    sim.pay(order_id)
    clock.advance(15 * MINUTE)
    deliver(stripe_event(sim, order_id), source="stripe")

    at_once(payments.ask, lambda: work("stripe"))

    assert balance() == 5_500
    assert_ledger_is_clean()
