"""The demo's top-up: ordered over the API, paid at the simulator, credited through its webhook.

Used by `run.py` to show that payments work, and by `smoke.py` to prove it. Nothing here touches
the rules: what a platform would send is sent, and what came of it is read.
"""

import http.client
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.payments import queries
from db.session import transaction
from devstack import demo, ports, probes
from devstack.errors import DevstackError

PACKAGE = "credits_5000"
CREDITS, BONUS_CREDITS = 5_000, 500
"""What it brings by catalog.toml."""
OUTCOME_SECONDS = 30
TIMEOUT_SECONDS = 15
"""More than the API waits for a gateway."""


@dataclass(frozen=True)
class Order:
    """An order as the API answered it."""

    order_id: str
    account: str
    amount_paise: int
    credits: int
    bonus_credits: int


@dataclass(frozen=True)
class Payment:
    """What the gateway's checkout hands to the customer's browser."""

    order_id: str
    payment_id: str
    signature: str


@dataclass(frozen=True)
class Outcome:
    """What came of a payment."""

    state: str
    credits: int
    bonus_credits: int
    balance_before: int
    balance_after: int


def new_key() -> str:
    """Return an Idempotency-Key that was never used."""
    return f"demo-{secrets.token_hex(8)}"


def wish() -> dict[str, str]:
    """Return the body of the demo's order."""
    return {"account": demo.CLINIC, "gateway": "razorpay", "package": PACKAGE}


def open_order(
    *, api_port: int, idempotency_key: str, wanted: Mapping[str, str] | None = None
) -> Order:
    """Order over the API, by default the demo's package; the same key is the same order again."""
    status, answer = call_api(api_port, "/v1/orders", wanted or wish(), idempotency_key)
    if status != 201:
        raise DevstackError(f"the API answered {status} to an order, not 201: {answer}")
    return Order(**{name: answer[name] for name in Order.__dataclass_fields__})


def checkout_path(order: Order) -> str:
    """Return the path of the simulator's page on which a customer pays an order."""
    return f"/checkout/{order.order_id}"


def pay(order: Order, *, simulator_port: int) -> Payment:
    """Pay an order as a customer does."""
    status, answer = _post(simulator_port, "/simulator/pay", {"order_id": order.order_id})
    if status != 200:
        raise DevstackError(f"the simulator answered {status} to a payment, not 200: {answer}")
    return Payment(
        answer["razorpay_order_id"], answer["razorpay_payment_id"], answer["razorpay_signature"]
    )


def pay_and_wait(order: Order, *, simulator_port: int) -> tuple[Payment, Outcome]:
    """Pay an order, wait for its credit; raise `DevstackError` if nothing came of it in time."""
    before = demo.balance(order.account)
    payment = pay(order, simulator_port=simulator_port)
    deadline = time.monotonic() + OUTCOME_SECONDS
    while time.monotonic() < deadline:
        with transaction() as session:
            found = queries.find(session, payment.payment_id, gateway="razorpay")
            if found is not None and (found.credited_at or found.reason):
                state, credited = found.state, (found.credits, found.bonus_credits)
                break
        time.sleep(0.1)
    else:
        raise DevstackError(
            f"payment {payment.payment_id} was made, but is not credited after {OUTCOME_SECONDS} s:"
            " its webhook did not come, or the worker did not handle it"
        )
    return payment, Outcome(state, *credited, before, demo.balance(order.account))


def verify(payment: Payment, *, api_port: int) -> Any:
    """Have the API check what the browser brought back; return its JSON, of a refusal too."""
    body = {
        "order_id": payment.order_id,
        "payment_id": payment.payment_id,
        "signature": payment.signature,
    }
    _, answer = call_api(api_port, "/v1/payments/verify", body, new_key())
    return answer


def deliveries(*, simulator_port: int) -> list[str]:
    """Return the state of each webhook of the simulator, once none is under way.

    One whose receiver took too long is sent again some seconds later, as by the gateway.
    """
    deadline = time.monotonic() + OUTCOME_SECONDS
    while True:
        _, body = probes.http_get(simulator_port, "/simulator/deliveries")
        report = json.loads(body or b'{"waiting": 0, "items": []}')
        if not report["waiting"] or time.monotonic() > deadline:
            return [delivery["state"] for delivery in report["items"]]
        time.sleep(0.1)


def call_api(port: int, path: str, body: Mapping[str, object], key: str) -> tuple[int, Any]:
    """POST to the API with the demo's key; return the status and the answer."""
    return _post(
        port, path, body, {"Authorization": f"Bearer {demo.api_key()}", "Idempotency-Key": key}
    )


def _post(
    port: int, path: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(
            "POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DevstackError(f"POST {path} got no answer: {type(error).__name__}") from error
    finally:
        connection.close()
