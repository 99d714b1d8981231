"""Razorpay through its SDK: what is opened, found and captured, and how a call can end."""

import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from gateways.razorpay.client import RazorpayGateway
from tests.gateways.conftest import HASTE, KEY_ID, KEY_SECRET, Door, Sim, an_order, razorpay_at

UNKNOWN_ORDER, UNKNOWN_PAYMENT = "order_00000000000000", "pay_00000000000000"
NOT_UNIQUE = "Order receipt should be unique."


@pytest.fixture
def gateway(sim: Sim) -> RazorpayGateway:
    return razorpay_at(sim.url)


def refusal(description: str, **more: object) -> dict[str, object]:
    return {"error": {"code": "BAD_REQUEST_ERROR", "description": description, **more}}


def order_entity(**changes: object) -> dict[str, object]:
    entity = {"id": "order_A", "amount": 500_000, "currency": "INR", "receipt": "R-1"}
    return entity | changes


def payment_entity(number: int) -> dict[str, object]:
    return {"id": f"pay_{number}", "amount": 500_000, "currency": "INR", "status": "failed"}


def an_authorized_payment(sim: Sim, gateway: Gateway) -> PaymentFacts:
    sim.set(authorized_only=1)
    opened = gateway.open_order(an_order())
    sim.pay(opened.order_id)
    (payment,) = gateway.payments_of(opened.order_id)
    assert payment.seen is Seen.AUTHORIZED
    return payment


def test_it_is_a_gateway(gateway: RazorpayGateway) -> None:
    it: Gateway = gateway

    assert (it.name, it.public_key) == ("razorpay", KEY_ID)


# Opening


def test_an_order_is_opened_and_captured_without_our_doing(
    sim: Sim, gateway: RazorpayGateway
) -> None:
    opened = gateway.open_order(an_order())

    assert (opened.amount_paise, opened.currency, opened.receipt) == (500_000, "INR", "R-1")
    assert (opened.ended, opened.checkout_url) == (False, None)
    assert gateway.order(opened.order_id) == opened
    assert sim.world.razorpay.orders[opened.order_id]["notes"] == {"account": "clinic:42"}
    assert opened.order_id not in sim.world.razorpay.manual_capture


def test_what_is_sent(door: Door) -> None:
    door.says(200, order_entity())

    razorpay_at(door.url).open_order(an_order())

    ((method, path, body),) = door.asked
    assert (method, path) == ("POST", "/v1/orders")
    assert body == {
        "amount": 500_000,
        "currency": "INR",
        "receipt": "R-1",
        "notes": {"account": "clinic:42"},
        "partial_payment": False,
        "unique_receipt": True,
        "payment": {
            "capture": "automatic",
            "capture_options": {
                "automatic_expiry_period": 7200,
                "manual_expiry_period": 7200,
                "refund_speed": "normal",
            },
        },
    }


@pytest.mark.parametrize("unique_receipt", [True, False])
def test_a_repeat_under_a_receipt_returns_the_first(
    sim: Sim, gateway: RazorpayGateway, unique_receipt: bool
) -> None:
    sim.set(unique_receipt=unique_receipt)
    first = gateway.open_order(an_order())

    assert gateway.open_order(an_order()) == first
    assert razorpay_at(sim.url).open_order(an_order()) == first  # of another process
    assert gateway.open_order(an_order("R-2")) != first
    assert len(sim.world.razorpay.orders) == 2


@pytest.mark.parametrize("unique_receipt", [True, False])
@pytest.mark.parametrize("change", [{"amount_paise": 500_001}, {"currency": "USD"}])
def test_a_receipt_of_another_amount_is_refused(
    sim: Sim, gateway: RazorpayGateway, unique_receipt: bool, change: dict[str, Any]
) -> None:
    sim.set(unique_receipt=unique_receipt)
    gateway.open_order(an_order())

    with pytest.raises(GatewayRefused) as caught:
        gateway.open_order(an_order(**change))

    assert caught.value.field == "receipt"


def test_a_field_that_is_not_known_yet_is_sent_once(door: Door) -> None:
    # Given a Razorpay that does not know unique_receipt, and lets receipts be used twice
    opened: list[Any] = []

    def answer(method: str, _path: str, body: Any) -> tuple[int, object]:
        if method == "GET":
            return 200, {"items": [o for o in opened if o["receipt"] in _path]}
        if "unique_receipt" in body:
            return 400, refusal(
                "unique_receipt is/are not required and should not be sent",
                reason="extra_field_sent",
            )
        opened.append(order_entity(id=f"order_{len(opened)}", receipt=body["receipt"]))
        return 200, opened[-1]

    door.answer = answer
    gateway = razorpay_at(door.url)

    # When orders are opened, one of them twice
    ids = [gateway.open_order(an_order(r)).order_id for r in ("R-1", "R-2", "R-1")]

    # Then the field was sent once, and no receipt was used twice
    assert ids == ["order_0", "order_1", "order_0"]
    assert sum("unique_receipt" in body for _, _, body in door.asked) == 1


def test_an_order_that_is_not_listed_yet_is_asked_for_again(door: Door) -> None:
    door.answer = lambda method, *_: (
        (200, {"items": []}) if method == "GET" else (400, refusal(NOT_UNIQUE))
    )

    with pytest.raises(OutcomeUnknown):
        razorpay_at(door.url).open_order(an_order())


def test_what_is_wrong_with_an_order_is_said(gateway: RazorpayGateway) -> None:
    with pytest.raises(GatewayRefused) as caught:
        gateway.open_order(an_order(amount_paise=99))

    assert (caught.value.status, caught.value.field) == (400, "amount")
    assert "less than minimum amount" in caught.value.reason


# Finding


def test_an_order_is_found_by_its_receipt(gateway: RazorpayGateway) -> None:
    opened = gateway.open_order(an_order("R-1"))
    gateway.open_order(an_order("R-10"))

    assert gateway.find_order("R-1", opened_at=clock.now()) == opened
    assert gateway.find_order("R-2", opened_at=clock.now()) is None


def test_of_several_orders_of_a_receipt_the_first_is_ours(door: Door) -> None:
    door.says(
        200, {"items": [order_entity(id="order_B"), order_entity(), order_entity(receipt=None)]}
    )

    found = razorpay_at(door.url).find_order("R-1", opened_at=clock.now())

    assert found is not None
    assert found.order_id == "order_A"


@pytest.mark.parametrize("outcome", ["success", "failure", "late_authorization"])
def test_a_payment_is_seen_at_once_though_the_list_of_all_lags(
    sim: Sim, gateway: RazorpayGateway, outcome: str
) -> None:
    sim.set(list_lag_seconds=600, speed=1)
    opened = gateway.open_order(an_order())
    paid = sim.pay(opened.order_id, outcome)

    (payment,) = gateway.payments_of(opened.order_id)

    expected = Seen.CAPTURED if outcome == "success" else Seen.FAILED
    assert (payment.seen, payment.order_id) == (expected, opened.order_id)
    assert payment.amount_paise == 500_000
    assert gateway.payment(payment.payment_id) == payment
    if outcome == "success":
        assert paid["razorpay_payment_id"] == payment.payment_id
        assert (payment.fee_paise, payment.tax_paise) == (11_800, 1_800)


def test_every_attempt_on_an_order_is_told(sim: Sim, gateway: RazorpayGateway) -> None:
    opened = gateway.open_order(an_order())
    assert gateway.payments_of(opened.order_id) == []
    for _ in range(12):
        sim.pay(opened.order_id, "failure")
    sim.pay(opened.order_id)

    payments = gateway.payments_of(opened.order_id)

    assert len({p.payment_id for p in payments}) == 13
    assert [p.seen for p in payments].count(Seen.CAPTURED) == 1


@pytest.mark.parametrize("count", [9, 10, 11, 150, 250])
def test_a_list_that_comes_in_pages_is_read_to_its_end(door: Door, count: int) -> None:
    payments = [payment_entity(number) for number in range(count)]

    def answer(_method: str, path: str, _body: Any) -> tuple[int, object]:
        query = dict(part.split("=") for part in path.partition("?")[2].split("&") if part)
        skip = int(query.get("skip", 0))
        return 200, {"items": payments[skip : skip + int(query.get("count", 10))]}

    door.answer = answer

    found = razorpay_at(door.url).payments_of("order_A")

    assert [p.payment_id for p in found] == [p["id"] for p in payments]


def test_a_list_that_refuses_to_come_in_pages_was_whole(door: Door) -> None:
    payments = {"items": [payment_entity(number) for number in range(25)]}
    door.answer = lambda _method, path, _body: (
        (
            400,
            refusal("count is/are not required and should not be sent", reason="extra_field_sent"),
        )
        if "?" in path
        else (200, payments)
    )

    assert len(razorpay_at(door.url).payments_of("order_A")) == 25


def test_a_refund_shows_and_the_payment_stays_ours(sim: Sim, gateway: RazorpayGateway) -> None:
    paid = sim.pay(gateway.open_order(an_order()).order_id)["razorpay_payment_id"]

    sim.refund(paid, amount=100_000)
    part = gateway.payment(paid)
    sim.refund(paid)
    whole = gateway.payment(paid)

    assert (part.seen, part.refunded_paise) == (Seen.CAPTURED, 100_000)
    assert (whole.seen, whole.refunded_paise) == (Seen.CAPTURED, 500_000)


def test_a_second_payment_that_went_back_was_never_ours(sim: Sim, gateway: RazorpayGateway) -> None:
    opened = gateway.open_order(an_order())
    sim.pay(opened.order_id)
    sim.pay(opened.order_id)

    seen = {payment.seen for payment in gateway.payments_of(opened.order_id)}

    assert seen == {Seen.CAPTURED, Seen.RETURNED}


@pytest.mark.parametrize(
    "entity_id",
    ["", "x", "../orders", "order_00000000000000/payments", "pay_a?b=c", "pay_\u0661", "p" * 201],
)
def test_an_id_that_cannot_be_one_is_not_found(gateway: RazorpayGateway, entity_id: str) -> None:
    for ask in (gateway.order, gateway.payments_of, gateway.payment):
        with pytest.raises(GatewayNotFound):
            ask(entity_id)


def test_an_unknown_id_is_not_found(gateway: RazorpayGateway) -> None:
    for ask in (gateway.order, gateway.payments_of):
        with pytest.raises(GatewayNotFound):
            ask(UNKNOWN_ORDER)
    with pytest.raises(GatewayNotFound):
        gateway.payment(UNKNOWN_PAYMENT)


# Capture


def test_an_authorized_payment_is_captured_once(sim: Sim, gateway: RazorpayGateway) -> None:
    payment = an_authorized_payment(sim, gateway)

    first = gateway.capture(payment)
    second = gateway.capture(payment)

    assert (first.seen, first.payment_id) == (Seen.CAPTURED, payment.payment_id)
    assert second == first


def test_a_capture_whose_answer_was_lost_is_repeated(sim: Sim, gateway: RazorpayGateway) -> None:
    payment = an_authorized_payment(sim, gateway)
    sim.set(lost_response=1)
    with pytest.raises(OutcomeUnknown):
        gateway.capture(payment)
    sim.set(lost_response=0)

    assert gateway.capture(payment).seen is Seen.CAPTURED


def test_a_payment_that_failed_cannot_be_captured(sim: Sim, gateway: RazorpayGateway) -> None:
    opened = gateway.open_order(an_order())
    sim.pay(opened.order_id, "failure")
    (failed,) = gateway.payments_of(opened.order_id)

    with pytest.raises(GatewayRefused, match="authorized"):
        gateway.capture(failed)


def test_an_unknown_payment_cannot_be_captured(gateway: RazorpayGateway) -> None:
    with pytest.raises(GatewayNotFound):
        gateway.capture(PaymentFacts("razorpay", UNKNOWN_PAYMENT, Seen.AUTHORIZED, 100, "INR"))


def test_each_capture_sends_its_own_currency(door: Door) -> None:
    # The SDK keeps what one capture sends for the next, in a default that it changes.
    door.says(200, payment_entity(1) | {"status": "captured"})
    gateway = razorpay_at(door.url)

    for currency in ("USD", "INR"):
        gateway.capture(PaymentFacts("razorpay", "pay_1", Seen.AUTHORIZED, 100, currency))

    sent = [body for _, _, body in door.asked]
    assert sent == [{"amount": 100, "currency": "USD"}, {"amount": 100, "currency": "INR"}]


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
def test_where_the_outcome_is_unknown_a_repeat_opens_one_order(
    sim: Sim, switches: dict[str, Any], happened: int
) -> None:
    sim.set(**switches)
    with pytest.raises(OutcomeUnknown):
        razorpay_at(sim.url, timeout=HASTE).open_order(an_order())
    assert len(sim.world.razorpay.orders) == happened
    sim.set(**dict.fromkeys(switches, 0))

    opened = razorpay_at(sim.url).open_order(an_order())

    assert list(sim.world.razorpay.orders) == [opened.order_id]


def test_too_many_requests_do_nothing(sim: Sim, gateway: RazorpayGateway) -> None:
    sim.set(rate_limited=1)

    with pytest.raises(GatewayUnavailable, match="429"):
        gateway.open_order(an_order())

    assert sim.world.razorpay.orders == {}


def test_where_nobody_listens_nothing_was_sent(closed_port: str) -> None:
    with pytest.raises(GatewayUnavailable, match="no connection"):
        razorpay_at(closed_port).open_order(an_order())


@pytest.mark.parametrize(
    "base", ["http://gateway.invalid", "https://gateway.invalid", "http://", "http://["]
)
def test_where_there_is_no_such_host_nothing_was_sent(base: str) -> None:
    with pytest.raises(GatewayUnavailable, match="no connection"):
        razorpay_at(base).order(UNKNOWN_ORDER)


def test_a_door_that_does_not_speak_tls_is_no_refusal(door: Door) -> None:
    with pytest.raises((GatewayUnavailable, OutcomeUnknown)):
        razorpay_at(door.url.replace("http:", "https:")).order(UNKNOWN_ORDER)


@pytest.mark.parametrize("secret", ["wrong", "wrong-\u20b9-\U0001f511", ""])
def test_a_wrong_key_is_said_without_it(sim: Sim, secret: str) -> None:
    with pytest.raises(
        GatewayKeyRefused, match="RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET"
    ) as caught:
        razorpay_at(sim.url, secret=secret).open_order(an_order())

    assert KEY_ID not in str(caught.value)
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, "<html>", GatewayKeyRefused),
        (400, refusal("Authentication failed"), GatewayKeyRefused),
        (400, refusal("The api secret provided is invalid"), GatewayKeyRefused),
        (429, " ", GatewayUnavailable),
        (429, "<html>", GatewayUnavailable),
        (404, refusal("The requested URL was not found on the server."), GatewayNotFound),
        (400, refusal("pay_1 is not a valid id"), GatewayNotFound),
        (422, refusal("No"), GatewayRefused),
        (400, {"success": False, "errors": ["No", "Status Code: 400"]}, GatewayRefused),
        (400, {"errors": ["The id provided does not exist"]}, GatewayNotFound),
        (400, {"errors": [{"No": 1}]}, GatewayRefused),
        (400, refusal("\x1b[31mNo\n" * 99), GatewayRefused),
        (400, {"error": {}}, GatewayRefused),
        (400, {"error": {"description": ["No"], "field": 1, "reason": None}}, GatewayRefused),
        (400, {"error": {"code": "SERVER_ERROR", "description": "Later"}}, OutcomeUnknown),
        (400, {"error": {"code": "GATEWAY_ERROR", "description": "Later"}}, OutcomeUnknown),
        (400, refusal("Another request is still in progress."), OutcomeUnknown),
        (409, refusal("Conflict"), OutcomeUnknown),
        (404, "<html>", OutcomeUnknown),
        (400, {"success": False, "errors": []}, OutcomeUnknown),
        (400, {"error": "No"}, OutcomeUnknown),
        (500, refusal("No"), OutcomeUnknown),
        (302, {}, OutcomeUnknown),
        (204, "", OutcomeUnknown),
        (200, "", OutcomeUnknown),
        (200, "<html>", OutcomeUnknown),
        (200, "[" * 100_000, OutcomeUnknown),
        (200, [], OutcomeUnknown),
        (200, {}, OutcomeUnknown),
        (200, {"id": "pay_1", "amount": "5", "currency": "INR", "status": "paid"}, OutcomeUnknown),
    ],
)  # fmt: skip
def test_how_a_call_ends_follows_from_the_answer(
    door: Door, status: int, body: object, error: type[Exception]
) -> None:
    door.says(status, body)

    with pytest.raises(error) as caught:
        razorpay_at(door.url).payment("pay_1")

    assert type(caught.value) is error or error is GatewayRefused
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    assert len(door.asked) == 1  # nothing is sent twice, and no redirect is followed


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": [1]}])
def test_a_list_without_items_is_no_empty_list(door: Door, answer: object) -> None:
    door.says(200, answer)

    for ask in (razorpay_at(door.url).payments_of, an_opener_of(door)):
        with pytest.raises(OutcomeUnknown):
            ask("order_A")


def an_opener_of(door: Door) -> Any:
    return lambda receipt: razorpay_at(door.url).find_order(receipt, opened_at=clock.now())


def test_a_proxy_of_the_environment_does_not_stand_before_the_simulator(
    gateway: RazorpayGateway, monkeypatch: pytest.MonkeyPatch, closed_port: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", closed_port)

    assert gateway.open_order(an_order()).receipt == "R-1"


def test_a_proxy_of_the_environment_is_used_for_the_real_gateway(
    monkeypatch: pytest.MonkeyPatch, closed_port: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", closed_port)

    with pytest.raises(GatewayUnavailable, match=r"NewConnectionError|ProxyError"):
        razorpay_at("https://gateway.invalid").order(UNKNOWN_ORDER)


def test_threads_that_ask_at_once_keep_their_own_answers(
    sim: Sim, gateway: RazorpayGateway
) -> None:
    opened = gateway.open_order(an_order())

    def ask(number: int) -> str:
        try:
            if number % 3 == 0:
                return gateway.order(opened.order_id).order_id
            if number % 3 == 1:
                return gateway.order(UNKNOWN_ORDER).order_id
            return gateway.open_order(an_order(f"R-{number}", amount_paise=99)).order_id
        except GatewayNotFound:
            return "not found"
        except GatewayRefused as error:
            return str(error.field)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(120)))

    assert answers == [opened.order_id, "not found", "amount"] * 40


# Signatures


def signature(order_id: str, payment_id: str, secret: str = KEY_SECRET) -> str:
    return hmac.new(
        secret.encode(), f"{order_id}|{payment_id}".encode(), hashlib.sha256
    ).hexdigest()


def test_what_the_checkout_hands_over_is_signed(sim: Sim, gateway: RazorpayGateway) -> None:
    handed = sim.pay(gateway.open_order(an_order()).order_id)
    order_id, payment_id = handed["razorpay_order_id"], handed["razorpay_payment_id"]
    signed = handed["razorpay_signature"]

    assert gateway.is_signed_by_gateway(order_id, payment_id, signed)
    assert signed == signature(order_id, payment_id)
    assert not gateway.is_signed_by_gateway(payment_id, order_id, signed)
    assert not gateway.is_signed_by_gateway(order_id, "pay_other", signed)
    assert not gateway.is_signed_by_gateway(order_id, payment_id, signature("a", "b"))
    assert not gateway.is_signed_by_gateway(
        order_id, payment_id, signature(order_id, payment_id, "another secret")
    )


def test_the_published_signature_of_razorpays_own_tests_fits() -> None:
    # razorpay/razorpay-python, tests/test_client_utility.py
    published = "b2335e3b0801106b84a7faff035df56ecffde06918c9ddd1f0fafbb37a51cc89"
    gateway = razorpay_at("http://gateway.invalid", secret="key_secret")

    assert gateway.is_signed_by_gateway("fake_order_id", "fake_payment_id", published)
    assert not gateway.is_signed_by_gateway("fake_order_id", "fake_payment_id", published.upper())


texts = st.text(st.characters()) | st.sampled_from(["", "\ud800", "\u20b9", "\x00", "a" * 10_000])


@given(texts, texts, texts)
def test_any_other_text_is_no_signature(order_id: str, payment_id: str, signed: str) -> None:
    gateway = razorpay_at("http://gateway.invalid")

    assert gateway.is_signed_by_gateway(order_id, payment_id, signed) is False
