"""Razorpay's webhooks as a receiver gets them: form, signature, headers, retries, switches."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import razorpay
import requests
from razorpay.errors import SignatureVerificationError

from devstack.simulator.config import Config
from devstack.simulator.razorpay import events
from devstack.simulator.server import running
from tests.devstack.simulator import bodies
from tests.devstack.simulator.conftest import WEBHOOK_SECRETS, Control
from tests.devstack.simulator.receiver import DROP, Received, Receiver

Make = Callable[..., Any]


def names(requests: list[Received]) -> list[str]:
    return [json.loads(request.body)["event"] for request in requests]


def verify(gateway: razorpay.Client, request: Received, secret: str) -> bool:
    signature = request.header("X-Razorpay-Signature")
    return bool(gateway.utility.verify_webhook_signature(request.body.decode(), signature, secret))


def test_a_payment_is_told_in_order_with_six_headers_and_verified_by_the_sdk(
    gateway: razorpay.Client, control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.pay(new_order()["id"])

    requests = receiver.wait_for(3)

    assert names(requests) == ["payment.authorized", "payment.captured", "order.paid"]
    for request in requests:
        assert verify(gateway, request, WEBHOOK_SECRETS[0])
        with pytest.raises(SignatureVerificationError):
            verify(gateway, request, WEBHOOK_SECRETS[1])
        assert request.header("Content-Type") == "application/json"
        assert request.header("User-Agent") == "Razorpay-Webhook/v1"
        assert request.header("Accept-Encoding") == "gzip"
        assert request.header("Request-Id") == request.header("X-Razorpay-Event-Id")
        assert request.header("X-Simulator") == "razorpay"
        assert request.path == "/webhooks/razorpay"
    ids = {request.header("X-Razorpay-Event-Id") for request in requests}
    assert len(ids) == 3
    assert {len(event_id) for event_id in ids} == {14}


def test_bodies_of_payments_and_orders_begin_with_the_entity(
    control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.pay(new_order(notes={"account": "clinic:42"})["id"], method="upi")

    _, captured, paid = receiver.wait_for(3)

    real = json.loads(bodies.PAYMENT_CAPTURED_UPI)
    ours = json.loads(captured.body)
    assert captured.body.startswith(b'{"entity":"event","account_id":"acc_')
    assert b'", "' not in captured.body
    assert list(ours) == list(real)
    real_payment, our_payment = (b["payload"]["payment"]["entity"] for b in (real, ours))
    assert list(our_payment) == list(real_payment)
    assert {k: type(v) for k, v in real_payment.items()} == {
        k: type(v) for k, v in our_payment.items()
    }
    order = json.loads(paid.body)["payload"]["order"]["entity"]
    assert list(order) == list(json.loads(bodies.ORDER_PAID_ORDER))
    assert json.loads(paid.body)["contains"] == ["payment", "order"]


def test_bodies_of_refunds_have_all_keys_sorted(
    gateway: razorpay.Client, control: Control, new_order: Make, receiver: Receiver
) -> None:
    paid = control.pay(new_order()["id"], method="card")
    receiver.wait_for(3)
    gateway.payment.refund(paid["razorpay_payment_id"], {"amount": 100})

    requests = receiver.wait_for(5)

    assert sorted(names(requests)[3:]) == ["refund.created", "refund.processed"]
    real = json.loads(bodies.REFUND_PROCESSED_CARD)
    for request in requests[3:]:
        text = request.body.decode()
        ours = json.loads(text)
        assert text == json.dumps(ours, sort_keys=True, separators=(",", ":"))
        assert ours["payload"]["payment"]["entity"]["notes"] == []
        for name in ("payment", "refund"):
            assert set(ours["payload"][name]["entity"]) == set(real["payload"][name]["entity"])
        assert verify(gateway, request, WEBHOOK_SECRETS[0])


def test_an_event_shows_its_entity_as_it_was(
    gateway: razorpay.Client, control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.pay(new_order()["id"])
    authorized, captured, _ = (
        json.loads(r.body)["payload"]["payment"]["entity"] for r in receiver.wait_for(3)
    )
    assert (authorized["status"], authorized["captured"], authorized["fee"]) == (
        "authorized", False, None,
    )  # fmt: skip
    assert (captured["status"], captured["captured"]) == ("captured", True)


def test_published_signatures() -> None:
    body, signed = (
        b'{"a":1,"b":2,"c":{"d":3}}',
        "2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc",
    )
    assert events.sign(body, "123456") == signed


def test_text_beyond_ascii_is_signed_as_it_is_sent(
    gateway: razorpay.Client, control: Control, new_order: Make, receiver: Receiver
) -> None:
    paid = control.pay(new_order(notes={"name": "रमेश ₹ / München"})["id"])
    payment_id = paid["razorpay_payment_id"]
    gateway.payment.refund(payment_id, {"notes": {"name": "रमेश"}})

    for request in receiver.wait_for(5):
        assert verify(gateway, request, WEBHOOK_SECRETS[0])
        sorted_keys = request.body.startswith(b'{"account_id"')
        assert request.body.isascii() != sorted_keys


@pytest.mark.parametrize(("answers", "total"), [([500], 16), ([400], 15), ([DROP], 16)])
def test_the_ladder_is_climbed_with_the_same_bytes_and_given_up(
    control: Control, new_order: Make, receiver: Receiver, answers: list[int], total: int
) -> None:
    receiver.statuses = answers
    control.pay(new_order()["id"], "failure")

    (delivery,) = control.settled()

    assert delivery["state"] == "given up"
    assert len(delivery["attempts"]) == len(receiver.requests) == total
    assert len({(r.body, r.header("X-Razorpay-Signature")) for r in receiver.requests}) == 1
    assert {r.header("X-Razorpay-Event-Id") for r in receiver.requests} == {delivery["event_id"]}


def test_the_ladder_ends_when_the_event_is_taken(
    control: Control, new_order: Make, receiver: Receiver
) -> None:
    receiver.statuses = [503, 302, 404, 200]
    control.pay(new_order()["id"], "failure")

    (delivery,) = control.settled()

    assert delivery["state"] == "taken"
    assert [a["status"] for a in delivery["attempts"]] == [503, 302, 404, 200]


def test_an_answer_that_comes_too_late_is_none(
    control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.set(speed=1_000_000)
    receiver.delay_seconds = 0.8
    control.pay(new_order()["id"], "failure")
    receiver.wait_for(2)
    receiver.delay_seconds = 0

    (delivery,) = control.settled()

    outcomes = [a["outcome"] for a in delivery["attempts"]]
    assert outcomes[0] == "timed out"
    assert outcomes[-1] == "taken"


def test_refunds_are_not_sent_again_at_once(
    gateway: razorpay.Client, control: Control, new_order: Make, receiver: Receiver
) -> None:
    payment_id = control.pay(new_order()["id"])["razorpay_payment_id"]
    receiver.wait_for(3)
    receiver.statuses = [500]
    gateway.payment.refund(payment_id, {})

    refunds = [d for d in control.settled() if d["event"].startswith("refund.")]

    assert [len(d["attempts"]) for d in refunds] == [15, 15]


def test_every_url_gets_the_same_event_id(
    control: Control, new_order: Make, receiver: Receiver
) -> None:
    two = [f"{receiver.url}/one", f"{receiver.url}/two"]
    assert control("POST", "webhooks", {"razorpay": two})["razorpay"] == two
    control.pay(new_order()["id"], "failure")

    one, other = receiver.wait_for(2)

    assert {one.path, other.path} == {"/one", "/two"}
    assert one.header("X-Razorpay-Event-Id") == other.header("X-Razorpay-Event-Id")
    for wrong in ("ftp://x", "http://x:port/", "http:///path", 1):
        assert control("POST", "webhooks", {"razorpay": [wrong]}, status=400)


def test_duplicates_are_the_same_event_again(
    control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.set(duplicates=1)
    for _ in range(4):
        control.pay(new_order()["id"])

    deliveries = control.settled()

    # Half of them come when the first was taken, the others at the same time.
    assert {len(d["attempts"]) for d in deliveries} == {1, 2}
    assert {d["state"] for d in deliveries} == {"taken"}
    copies = Counter(r.body for r in receiver.requests)
    assert (len(copies), set(copies.values())) == (12, {2})


def test_drops_are_never_sent(control: Control, new_order: Make, receiver: Receiver) -> None:
    control.set(drops=1)
    control.pay(new_order()["id"])
    assert [(d["state"], d["attempts"]) for d in control.settled()] == [("dropped", [])] * 3
    control.set(drops=0.5)
    for _ in range(10):
        control.pay(new_order()["id"])
    states = [d["state"] for d in control.settled()][3:]
    assert set(states) == {"dropped", "taken"}
    assert len(receiver.requests) == states.count("taken")


def test_shuffled_events_overtake_each_other(
    control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.set(shuffle=1, shuffle_seconds=8_000)
    for _ in range(5):
        control.pay(new_order()["id"])
    sent = [d["event_id"] for d in control.settled()]

    came = [r.header("X-Razorpay-Event-Id") for r in receiver.requests]

    assert sorted(came) == sorted(sent)
    assert came != sent


def test_the_secret_before_the_last_change_may_sign(
    gateway: razorpay.Client, control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.set(old_secret=1)
    control.pay(new_order()["id"], "failure")
    (request,) = receiver.wait_for(1)
    assert verify(gateway, request, WEBHOOK_SECRETS[1])


def test_a_url_that_takes_nothing_may_be_switched_off(
    control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.set(disable_webhooks=True)
    receiver.statuses = [400]
    control.pay(new_order()["id"], "failure")
    control.settled()
    receiver.statuses = [200]

    control.pay(new_order()["id"], "failure")
    assert [d["state"] for d in control.settled()] == ["given up", "disabled"]

    control("POST", "webhooks", {})
    control.pay(new_order()["id"], "failure")
    assert [d["state"] for d in control.settled()] == ["given up", "disabled", "taken"]


def test_what_was_never_captured_says_so_when_it_is_given_back(
    control: Control, new_order: Make, receiver: Receiver
) -> None:
    order_id = new_order()["id"]
    control.pay(order_id)
    control.pay(order_id)

    bodies_sent = [json.loads(r.body) for r in receiver.wait_for(6)]

    refunds = [body for body in bodies_sent if body["event"].startswith("refund.")]
    assert {body["event"] for body in refunds} == {"refund.created", "refund.processed"}
    assert {body["payload"]["payment"]["entity"]["captured"] for body in refunds} == {False}
    assert [body["event"] for body in bodies_sent].count("order.paid") == 1


def test_late_and_failed_things_are_told(
    gateway: razorpay.Client, control: Control, new_order: Make, receiver: Receiver
) -> None:
    control.set(refund_state="failed", speed=1_000)  # 0.6 s and 0.3 s
    payment_id = control.pay(new_order()["id"], "late_authorization")["razorpay_payment_id"]
    assert names(receiver.wait_for(4)) == [
        "payment.failed", "payment.authorized", "payment.captured", "order.paid",
    ]  # fmt: skip
    gateway.payment.refund(payment_id, {})
    assert names(receiver.wait_for(6))[4:] == ["refund.created", "refund.failed"]
    dispute_id = control("POST", "disputes", {"payment_id": payment_id})["id"]
    gateway.dispute.accept(dispute_id)
    created, lost = receiver.wait_for(8)[6:]
    assert sorted(names([created, lost])) == ["payment.dispute.created", "payment.dispute.lost"]
    assert list(json.loads(created.body)["payload"]) == ["payment", "dispute"]
    control("POST", "settle")
    assert names(receiver.wait_for(9))[8] == "settlement.processed"


def test_a_seed_repeats_ids_and_luck(config: Config, receiver: Receiver) -> None:
    def story() -> tuple[list[str], list[str]]:
        with running(config) as simulator, requests.Session() as session:
            control = Control(simulator.url, session)
            control.set(drops=0.3, duplicates=0.3, authorized_only=0.3)
            client = razorpay.Client(
                auth=(config.razorpay_key_id, config.razorpay_key_secret),
                base_url=simulator.url, session=session,
            )  # fmt: skip
            ids = []
            for _ in range(8):
                order = client.order.create({"amount": 100, "currency": "INR"})
                ids += [order["id"], control.pay(order["id"])["status"]]
            fates = [f"{d['event_id']} {d['state'] == 'dropped'}" for d in control.settled()]
            ids += [control("POST", "reset", {"seed": 7})["seed"]]
            again = client.order.create({"amount": 100, "currency": "INR"})
            assert again["id"] == ids[0]
            assert client.order.all()["count"] == 1
            assert control("GET", "deliveries")["count"] == 0
            return ids, sorted(fates)

    first, second = story(), story()
    assert first == second
    assert {fate.partition(" ")[2] for fate in first[1]} == {"True", "False"}
