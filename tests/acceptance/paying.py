"""A clinic tops up: an order by the API, a customer at the simulator, the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from devstack import ports
from tests.acceptance.harness import Stack

CREDITS, BONUS_CREDITS = 5_000, 500
"""What the package of an order here brings."""


def order(stack: Stack, account: str, *, key: str) -> str:
    """Order a package at Razorpay; return the gateway's id of the order."""
    body = {"account": account, "gateway": "razorpay", "package": "credits_5000"}
    answer = _call_api(stack, "/v1/orders", body, key=key)
    assert answer.status_code == 201, answer.text
    order_id: str = answer.json()["order_id"]
    return order_id


def pay(stack: Stack, order_id: str) -> dict[str, str]:
    """Pay as a customer; return what checkout hands to the browser, as the API takes it."""
    answer = requests.post(
        f"{_simulator(stack)}/simulator/pay", json={"order_id": order_id}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    report = answer.json()
    return {
        "order_id": report["razorpay_order_id"],
        "payment_id": report["razorpay_payment_id"],
        "signature": report["razorpay_signature"],
    }


def verify(stack: Stack, paid: dict[str, str], *, key: str) -> tuple[str, int]:
    """Ask the API about a payment; return its state and the credits it brought."""
    answer = _call_api(stack, "/v1/payments/verify", paid, key=key)
    assert answer.status_code == 200, answer.text
    return answer.json()["state"], answer.json()["credits_added"]


def credited(stack: Stack, payment_id: str) -> list[int]:
    """Return the amount of each ledger row of a payment, in their order."""
    rows = "SELECT amount FROM credit_transactions WHERE payment_id = %s ORDER BY id"
    return [row[0] for row in stack.sql(rows, payment_id)]


@contextmanager
def switches(stack: Stack, **changes: float) -> Iterator[None]:
    """Let the simulated gateway misbehave for as long as the block lasts."""
    url = f"{_simulator(stack)}/simulator/switches"
    requests.patch(url, json=changes, timeout=10).raise_for_status()
    try:
        yield
    finally:
        requests.delete(url, timeout=10).raise_for_status()


def _call_api(stack: Stack, path: str, body: dict[str, str], *, key: str) -> "requests.Response":
    url = f"http://{ports.HOST}:{stack.environment['API_PORT']}{path}"
    headers = {
        "Authorization": f"Bearer {stack.addresses['api_keys'].partition(':')[2]}",
        "Idempotency-Key": key,
    }
    return requests.post(url, json=body, headers=headers, timeout=20)


def _simulator(stack: Stack) -> Any:
    return stack.addresses["razorpay_api_base"]
