"""The door of both APIs: keys, faults, lost and slow answers, and the label on everything."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import razorpay
import requests
import stripe
from razorpay.errors import BadRequestError, ServerError

from devstack.simulator.server import Running
from tests.devstack.simulator.conftest import KEY_ID, KEY_SECRET, STRIPE_KEY, Control, Raw

Make = Callable[..., Any]
ORDER = {"amount": 500_000, "currency": "INR", "receipt": "topup-1"}


@pytest.mark.parametrize(
    ("login", "description"),
    [
        (("rzp_test_other", KEY_SECRET), "The api key provided is invalid"),
        ((KEY_ID, "other"), "The api secret provided is invalid"),
        ((KEY_ID + " ", KEY_SECRET), "The api key provided is invalid"),
        (("", ""), "Authentication failed"),
        (None, "Authentication failed"),
    ],
)
def test_a_wrong_key_is_told(
    simulator: Running, http: requests.Session, login: Any, description: str
) -> None:
    client = razorpay.Client(auth=login, base_url=simulator.url, session=http)
    with pytest.raises(BadRequestError) as refusal:
        client.order.create(ORDER)
    assert str(refusal.value) == description
    assert http.get(f"{simulator.url}/v1/orders", auth=login, timeout=30).status_code == 401


def test_too_many_requests_have_no_effect(
    gateway: razorpay.Client, control: Control, raw: Raw
) -> None:
    control.set(rate_limited=1)
    with pytest.raises(BadRequestError):
        gateway.order.create(ORDER)
    status, answer = raw("POST", "/orders", ORDER)
    assert (status, answer["error"]["code"]) == (429, "BAD_REQUEST_ERROR")
    control.set(rate_limited=0)
    assert gateway.order.all()["count"] == 0


@pytest.mark.parametrize("after", [0, 1])
def test_a_bad_gateway_may_have_done_its_work(
    gateway: razorpay.Client, control: Control, after: int
) -> None:
    control.set(bad_gateway=1, fault_after_effect=after)
    with pytest.raises(ServerError):
        gateway.order.create(ORDER)
    control.set(bad_gateway=0)
    assert gateway.order.all({"receipt": "topup-1"})["count"] == after


@pytest.mark.parametrize("after", [0, 1])
def test_a_page_of_html_is_no_json(gateway: razorpay.Client, control: Control, after: int) -> None:
    control.set(html_answer=1, fault_after_effect=after)
    with pytest.raises(requests.exceptions.JSONDecodeError):
        gateway.order.create(ORDER)
    with pytest.raises(requests.exceptions.JSONDecodeError):
        gateway.order.all()
    control.set(html_answer=0)
    assert gateway.order.all()["count"] == after


def test_a_lost_answer_leaves_an_order_that_its_receipt_finds(
    gateway: razorpay.Client, control: Control
) -> None:
    control.set(lost_response=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        gateway.order.create(ORDER)
    assert gateway.order.all({"receipt": "topup-1"})["count"] == 1  # reading is not disturbed


def test_a_slow_answer_runs_into_the_callers_timeout(
    gateway: razorpay.Client, control: Control
) -> None:
    control.set(slow_answer=1, slow_answer_seconds=0.5)
    with pytest.raises(requests.exceptions.Timeout):
        gateway.order.create(ORDER, timeout=0.1)
    control.set(slow_answer=0)
    assert gateway.order.all()["count"] == 1


def test_stripes_faults(
    stripe_client: stripe.StripeClient, control: Control, new_session: Make
) -> None:
    control.set(rate_limited=1)
    with pytest.raises(stripe.RateLimitError) as limited:
        new_session()
    assert limited.value.http_status == 429
    control.set(rate_limited=0, bad_gateway=1)
    with pytest.raises(stripe.APIError) as bad:
        new_session()
    assert bad.value.http_status == 502
    control.set(bad_gateway=0, html_answer=1)
    with pytest.raises(stripe.APIError, match="Invalid response body"):
        new_session()
    control.set(html_answer=0)
    assert stripe_client.v1.checkout.sessions.list().data == []
    control.set(lost_response=1)
    with pytest.raises(stripe.APIConnectionError):
        new_session()
    assert len(stripe_client.v1.checkout.sessions.list().data) == 1


def test_stripe_wants_its_key(simulator: Running, http: requests.Session) -> None:
    client = stripe.StripeClient(
        "sk_test_wrong",
        base_addresses={"api": simulator.stripe_url},
        http_client=stripe.RequestsClient(session=http),
    )
    with pytest.raises(stripe.AuthenticationError) as refusal:
        client.v1.checkout.sessions.list()
    assert refusal.value.http_status == 401
    assert "sk_test_wrong" not in str(refusal.value)
    bare = http.get(f"{simulator.stripe_url}/v1/charges", timeout=30)
    assert (bare.status_code, bare.json()["error"]["type"]) == (401, "invalid_request_error")


def test_every_answer_says_that_it_is_a_simulators(
    simulator: Running, http: requests.Session
) -> None:
    for path in ("/", "/v1/orders", "/stripe/v1/charges", "/simulator/switches", "/nowhere"):
        answer = http.get(f"{simulator.url}{path}", timeout=30)
        assert answer.headers["Server"] == "Simulator"
        assert answer.headers["X-Simulator"] == "razorpay, stripe"


def test_switches_are_shown_changed_and_restored(control: Control) -> None:
    before = control("GET", "switches")

    changed = control("PATCH", "switches", {"drops": 0.25, "second_payment": "refuse"})

    assert changed == before | {"drops": 0.25, "second_payment": "refuse"}
    assert control("POST", "switches", {"drops": 0.5})["drops"] == 0.5
    assert control("DELETE", "switches") == before


@pytest.mark.parametrize(
    "wrong",
    [{"dropps": 1}, {"drops": 1.5}, {"drops": "often"}, {"second_payment": "keep"}, {"speed": 0}],
)
def test_a_wrong_switch_is_refused_and_changes_nothing(
    control: Control, wrong: dict[str, object]
) -> None:
    before = control("GET", "switches")
    assert next(iter(wrong)) in control("PATCH", "switches", {**wrong}, status=400)["error"]
    assert control("GET", "switches") == before


def test_control_endpoints_explain_themselves(
    simulator: Running, control: Control, http: requests.Session
) -> None:
    assert "known: seed" in control("POST", "reset", {"sead": 1}, status=400)["error"]
    assert "whole number" in control("POST", "reset", {"seed": "x"}, status=400)["error"]
    control("POST", "pay", {"order_id": "x", "amount": -1}, status=400)
    control("POST", "authorize", {"payment_id": "pay_1"}, status=400)
    control("POST", "finish-refund", {"refund_id": "nothing"}, status=404)
    wrong = http.post(f"{simulator.url}/simulator/pay", data="[", timeout=30)
    assert (wrong.status_code, wrong.json()) == (400, {"error": "the body must be JSON"})


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads interrupt each other after microseconds: a race shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_requests_that_race_are_carried_out_one_at_a_time(
    simulator: Running, gateway: razorpay.Client, control: Control, eager_threads: None
) -> None:
    payment_id = control.pay(gateway.order.create(ORDER)["id"])["razorpay_payment_id"]

    def ask(number: int) -> tuple[int, int]:
        statuses = [
            requests.post(
                f"{simulator.url}/v1/{path}", json=body, auth=(KEY_ID, KEY_SECRET), timeout=30
            ).status_code
            for path, body in (
                ("orders", {**ORDER, "receipt": f"receipt-{number // 8}"}),
                (f"payments/{payment_id}/refund", {"amount": 150_000}),
            )
        ]
        return statuses[0], statuses[1]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(64)))

    # Each receipt serves once, and three refunds are all that the payment holds.
    assert [order for order, _ in answers].count(200) == 8
    assert [refund for _, refund in answers].count(200) == 3
    assert gateway.payment.fetch(payment_id)["amount_refunded"] == 450_000
    assert gateway.order.all({"count": 100})["count"] == 9


@pytest.mark.parametrize("path", ["v1/orders", "stripe/v1/charges", "simulator/switches", ""])
def test_no_request_is_carried_out_while_another_is(
    simulator: Running, http: requests.Session, path: str
) -> None:
    headers = {"Authorization": f"Bearer {STRIPE_KEY}"} if path.startswith("stripe") else {}
    auth = None if headers else (KEY_ID, KEY_SECRET)
    url = f"{simulator.url}/{path}"
    with simulator.world.lock, pytest.raises(requests.exceptions.Timeout):
        http.get(url, auth=auth, headers=headers, timeout=0.2)
    assert http.get(url, auth=auth, headers=headers, timeout=30).status_code == 200
