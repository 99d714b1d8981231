"""Stripe through its SDK: sessions as orders, and how a call can end."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

import clock
from billing.payments import PaymentFacts, Seen
from gateways.errors import (
    GatewayKeyRefused,
    GatewayNotFound,
    GatewayRefused,
    GatewayUnavailable,
    OutcomeUnknown,
)
from gateways.protocol import Gateway
from gateways.stripe import client as stripe_client
from gateways.stripe.client import StripeGateway
from tests.devstack.simulator.receiver import wait_until
from tests.gateways.conftest import HASTE, Door, Sim, an_order, stripe_at

SECRET_OF_PAYER = "The Payer, payer@example.com"


@pytest.fixture
def gateway(sim: Sim) -> StripeGateway:
    return stripe_at(sim.stripe_url)


def refusal(message: str, **more: object) -> dict[str, object]:
    return {"error": {"type": "invalid_request_error", "message": message, **more}}


def a_session(**changes: object) -> dict[str, object]:
    return {
        "id": "cs_1", "object": "checkout.session", "amount_total": 500_000, "currency": "inr",
        "status": "open", "payment_status": "unpaid", "payment_intent": None,
        "client_reference_id": "R-1", "metadata": {},
    } | changes  # fmt: skip


def test_it_is_a_gateway(gateway: StripeGateway) -> None:
    it: Gateway = gateway

    assert (it.name, it.public_key) == ("stripe", "")
    assert not it.is_signed_by_gateway("cs_1", "pi_1", "\ud800")


# Opening


def test_an_order_is_a_session_with_a_page(sim: Sim, gateway: StripeGateway) -> None:
    opened = gateway.open_order(an_order())

    assert (opened.amount_paise, opened.currency, opened.receipt) == (500_000, "INR", "R-1")
    assert not opened.ended
    assert opened.checkout_url == f"{sim.url}/stripe/checkout/{opened.order_id}"
    assert gateway.order(opened.order_id) == opened
    session = sim.world.stripe.sessions[opened.order_id]
    ours = {"receipt": "R-1", "account": "clinic:42"}
    assert (session["client_reference_id"], session["metadata"]) == ("R-1", ours)
    assert sim.world.stripe.intent_metadata[opened.order_id] == ours
    (item,) = sim.world.stripe.line_items[opened.order_id]
    assert (item["description"], item["quantity"]) == ("5,000 credits", 1)


@pytest.mark.parametrize(
    ("return_url", "success", "cancel"),
    [
        (
            "https://shop.example/back",
            "https://shop.example/back?payment=success&session_id={CHECKOUT_SESSION_ID}",
            "https://shop.example/back?payment=cancelled",
        ),
        (
            "https://shop.example/?tab=1#top",
            "https://shop.example/?tab=1&payment=success&session_id={CHECKOUT_SESSION_ID}#top",
            "https://shop.example/?tab=1&payment=cancelled#top",
        ),
        (None, None, None),
    ],
)
def test_the_customer_comes_back_with_word_of_how(
    sim: Sim, gateway: StripeGateway, return_url: str, success: str, cancel: str
) -> None:
    opened = gateway.open_order(an_order(return_url=return_url))

    session = sim.world.stripe.sessions[opened.order_id]
    assert (session["success_url"], session["cancel_url"]) == (success, cancel)


def test_a_repeat_under_a_receipt_returns_the_first(sim: Sim, gateway: StripeGateway) -> None:
    first = gateway.open_order(an_order())

    assert gateway.open_order(an_order()) == first
    assert stripe_at(sim.stripe_url).open_order(an_order()) == first  # of another process
    assert gateway.open_order(an_order("R-2")) != first


@pytest.mark.parametrize("change", [{"amount_paise": 500_001}, {"currency": "USD"}])
def test_a_receipt_of_another_amount_is_refused(
    gateway: StripeGateway, change: dict[str, Any]
) -> None:
    gateway.open_order(an_order())

    with pytest.raises(GatewayRefused, match="same parameters"):
        gateway.open_order(an_order(**change))


def test_what_is_wrong_with_an_order_is_said(gateway: StripeGateway) -> None:
    with pytest.raises(GatewayRefused) as caught:
        gateway.open_order(an_order(amount_paise=0))

    assert caught.value.status == 400
    assert str(caught.value.field).endswith("[unit_amount]")


# Finding


def test_an_order_is_found_by_its_receipt(gateway: StripeGateway) -> None:
    opened = gateway.open_order(an_order("R-1"))
    gateway.open_order(an_order("R-10"))
    now = clock.now()

    assert gateway.find_order("R-1", opened_at=now) == opened
    assert gateway.find_order("R-2", opened_at=now) is None


@pytest.mark.parametrize(
    ("opened_before", "found"),
    [(-660, False), (-540, True), (0, True), (3_500, True), (3_700, True), (86_300, True),
     (86_500, False)],
)  # fmt: skip
def test_sessions_are_looked_for_around_the_time(
    gateway: StripeGateway, opened_before: int, found: bool
) -> None:
    gateway.open_order(an_order())

    order = gateway.find_order("R-1", opened_at=clock.now() - timedelta(seconds=opened_before))

    assert (order is not None) == found


def test_an_order_is_found_among_many(
    gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = gateway.open_order(an_order())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: gateway.open_order(an_order(f"S-{n}")), range(120)))

    assert gateway.find_order("R-1", opened_at=clock.now()) == opened
    monkeypatch.setattr(stripe_client, "MOST_SESSIONS", 100)
    with pytest.raises(OutcomeUnknown, match="over 100 sessions"):
        gateway.find_order("R-1", opened_at=clock.now())


def test_a_session_of_others_need_not_be_readable(door: Door) -> None:
    sessions = [a_session(id="cs_2", amount_total=None, client_reference_id="S"), a_session()]
    door.says(200, {"object": "list", "data": sessions, "has_more": False, "url": "/v1/x"})

    found = stripe_at(door.url).find_order("R-1", opened_at=clock.now())

    assert found is not None
    assert found.order_id == "cs_1"


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [
        ("success", Seen.CAPTURED),
        ("failure", Seen.FAILED),
        ("late_authorization", Seen.CREATED),
        ("late_failure", Seen.CREATED),
    ],
)
def test_the_payment_of_a_session_is_told(
    sim: Sim, gateway: StripeGateway, outcome: str, seen: Seen
) -> None:
    opened = gateway.open_order(an_order())
    assert gateway.payments_of(opened.order_id) == []
    sim.pay(opened.order_id, outcome)

    (payment,) = gateway.payments_of(opened.order_id)

    assert (payment.seen, payment.amount_paise, payment.currency) == (seen, 500_000, "INR")
    assert (payment.order_id, payment.receipt) == (opened.order_id, "R-1")
    assert payment.method == "card"
    alone = gateway.payment(payment.payment_id)
    assert (alone.seen, alone.receipt, alone.order_id) == (seen, "R-1", None)
    assert alone.error_code == ("card_declined" if seen is Seen.FAILED else None)


@pytest.mark.parametrize(
    ("outcome", "seen"), [("success", Seen.CAPTURED), ("late_failure", Seen.FAILED)]
)
def test_a_delayed_method_ends_one_way_or_the_other(
    sim: Sim, gateway: StripeGateway, outcome: str, seen: Seen
) -> None:
    opened = gateway.open_order(an_order())
    sim.pay(opened.order_id, "late_authorization")
    late = {"session_id": opened.order_id}
    if outcome == "success":
        sim.post("/simulator/authorize", late)
    else:
        opened = gateway.open_order(an_order("R-2"))
        sim.set(late_authorization_seconds=0)
        sim.pay(opened.order_id, "late_failure")

    def ended() -> bool:
        return gateway.payments_of(opened.order_id)[0].seen is not Seen.CREATED

    wait_until(ended)
    assert gateway.payments_of(opened.order_id)[0].seen is seen


def test_what_was_really_paid_is_told(sim: Sim, gateway: StripeGateway) -> None:
    sim.set(short_payment=1)
    opened = gateway.open_order(an_order())
    sim.pay(opened.order_id)

    (payment,) = gateway.payments_of(opened.order_id)

    assert payment.amount_paise == 250_000


def test_a_refund_shows_and_the_payment_stays_ours(sim: Sim, gateway: StripeGateway) -> None:
    opened = gateway.open_order(an_order())
    intent = sim.pay(opened.order_id)["payment_intent"]
    sim.refund_at_stripe(intent, 120_000)

    (payment,) = gateway.payments_of(opened.order_id)

    assert (payment.seen, payment.refunded_paise) == (Seen.CAPTURED, 120_000)
    assert gateway.payment(intent).refunded_paise == 120_000


def test_an_expired_session_has_ended(sim: Sim, gateway: StripeGateway) -> None:
    opened = gateway.open_order(an_order())
    sim.expire(opened.order_id)

    found = gateway.order(opened.order_id)

    assert (found.ended, found.checkout_url) == (True, None)
    assert gateway.payments_of(opened.order_id) == []


@pytest.mark.parametrize("entity_id", ["", "../events", "cs_1?x=y", "cs_00000", "c" * 201])
def test_an_unknown_id_is_not_found(gateway: StripeGateway, entity_id: str) -> None:
    for ask in (gateway.order, gateway.payments_of, gateway.payment):
        with pytest.raises(GatewayNotFound):
            ask(entity_id)


# Capture


def test_an_authorized_payment_is_captured_once(sim: Sim, gateway: StripeGateway) -> None:
    intent = sim.pay(gateway.open_order(an_order()).order_id, "failure")["payment_intent"]
    sim.world.stripe.intents[intent].update(status="requires_capture", last_payment_error=None)
    payment = gateway.payment(intent)
    assert payment.seen is Seen.AUTHORIZED

    first = gateway.capture(payment)
    second = gateway.capture(payment)

    assert (first.seen, first.amount_paise) == (Seen.CAPTURED, 500_000)
    assert (second.seen, second.payment_id) == (Seen.CAPTURED, intent)


def test_what_reserved_nothing_cannot_be_captured(sim: Sim, gateway: StripeGateway) -> None:
    intent = sim.pay(gateway.open_order(an_order()).order_id, "failure")["payment_intent"]

    with pytest.raises(GatewayRefused, match="could not be captured"):
        gateway.capture(gateway.payment(intent))
    with pytest.raises(GatewayNotFound):
        gateway.capture(PaymentFacts("stripe", "pi_0", Seen.AUTHORIZED, 100, "INR"))


# How a call can end


@pytest.mark.parametrize(
    ("switches", "happened"),
    [
        ({"lost_response": 1}, 1),
        ({"slow_answer": 1, "slow_answer_seconds": 0.6}, 1),
        ({"bad_gateway": 1}, 0),
        ({"bad_gateway": 1, "fault_after_effect": 1}, 1),
        ({"html_answer": 1}, 0),
        ({"html_answer": 1, "fault_after_effect": 1}, 1),
    ],
)
def test_where_the_outcome_is_unknown_a_repeat_opens_one_session(
    sim: Sim, switches: dict[str, Any], happened: int
) -> None:
    sim.set(**switches)
    with pytest.raises(OutcomeUnknown):
        stripe_at(sim.stripe_url, timeout=HASTE).open_order(an_order())
    assert len(sim.world.stripe.sessions) == happened
    sim.set(**dict.fromkeys(switches, 0))

    opened = stripe_at(sim.stripe_url).open_order(an_order())

    assert list(sim.world.stripe.sessions) == [opened.order_id]


def test_too_many_requests_do_nothing(sim: Sim, gateway: StripeGateway) -> None:
    sim.set(rate_limited=1)

    with pytest.raises(GatewayUnavailable, match="429"):
        gateway.open_order(an_order())

    assert sim.world.stripe.sessions == {}


def test_where_nobody_listens_nothing_was_sent(closed_port: str) -> None:
    for base in (closed_port, "http://gateway.invalid"):
        with pytest.raises(GatewayUnavailable, match="no connection"):
            stripe_at(base).open_order(an_order())


@pytest.mark.parametrize("key", ["sk_test_wrong", "sk_\u20b9", "sk test", ""])
def test_a_wrong_key_is_said_without_it(sim: Sim, key: str) -> None:
    with pytest.raises(GatewayKeyRefused, match="STRIPE_API_KEY") as caught:
        stripe_at(sim.stripe_url, key=key).open_order(an_order())

    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, "<html>", GatewayKeyRefused),
        (403, refusal("This key may not"), GatewayKeyRefused),
        (429, "<html>", GatewayUnavailable),
        (400, refusal("Slow down", code="rate_limit"), GatewayUnavailable),
        (404, refusal("No such payment_intent"), GatewayNotFound),
        (400, refusal("No such thing", code="resource_missing", param="id"), GatewayNotFound),
        (400, refusal("No", type="idempotency_error"), GatewayRefused),
        (402, refusal("Declined", type="card_error"), GatewayRefused),
        (400, {"error": {"message": ["No"], "code": 1, "param": {}}}, GatewayRefused),
        (409, refusal("In progress", code="idempotency_key_in_use"), OutcomeUnknown),
        (404, "<html>", OutcomeUnknown),
        (400, {"error": "invalid_client"}, OutcomeUnknown),
        (500, refusal("Unknown", type="api_error"), OutcomeUnknown),
        (302, {}, OutcomeUnknown),
        (200, "", OutcomeUnknown),
        (200, f'{{"name": "{SECRET_OF_PAYER}", ', OutcomeUnknown),
        (200, [], OutcomeUnknown),
        (200, {}, OutcomeUnknown),
        (200, {"object": "list"}, OutcomeUnknown),
        (200, {"object": "payment_intent", "status": SECRET_OF_PAYER}, OutcomeUnknown),
    ],
)
def test_how_a_call_ends_follows_from_the_answer(
    door: Door, status: int, body: object, error: type[Exception]
) -> None:
    door.says(status, body)

    with pytest.raises(error) as caught:
        stripe_at(door.url).payment("pi_1")

    assert type(caught.value) is error
    assert SECRET_OF_PAYER not in f"{caught.value} {caught.value.__context__}"
    assert len(door.asked) == 1  # nothing is sent twice, and no redirect is followed


@pytest.mark.parametrize("answer", [{}, {"object": "list"}, {"object": "list", "data": None}])
def test_a_list_without_items_is_no_empty_list(door: Door, answer: object) -> None:
    door.says(200, answer)

    with pytest.raises(OutcomeUnknown):
        stripe_at(door.url).find_order("R-1", opened_at=clock.now())


def test_threads_that_ask_at_once_keep_their_own_answers(sim: Sim, gateway: StripeGateway) -> None:
    opened = gateway.open_order(an_order())

    def ask(number: int) -> str:
        try:
            if number % 2:
                return gateway.order(opened.order_id).order_id
            return gateway.order("cs_0").order_id
        except GatewayNotFound:
            return "not found"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(80)))

    assert answers == ["not found", opened.order_id] * 40
