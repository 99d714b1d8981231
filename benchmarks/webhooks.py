"""The requests of the load generators: whole, signed, and in the true form of their sender."""

import hashlib
import hmac
import json
from typing import Any

import clock
import settings
from benchmarks.leads import lead_event
from benchmarks.load import HOST, Order
from service import standard_webhooks

PAYMENT_PAISE = 590_000
"""Enough for a bonus."""


def signed_requests(order: Order) -> list[bytes]:
    """Return every request of the order."""
    numbers = range(order.first, order.first + order.requests)
    if order.source == "razorpay":
        secret = settings.get().razorpay_webhook_secrets[0].get_secret_value()
        return [_of_razorpay(order, number, secret.encode()) for number in numbers]
    secret = settings.get().lead_webhook_secrets[0].get_secret_value()
    timestamp = int(clock.now().timestamp())
    return [_of_a_platform(order, number, secret, timestamp) for number in numbers]


def _of_a_platform(order: Order, number: int, secret: str, timestamp: int) -> bytes:
    account = order.accounts[number % len(order.accounts)]
    event_id, body = lead_event(order.run, number, account)
    signature = standard_webhooks.sign(secret, message_id=event_id, timestamp=timestamp, body=body)
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    return _request(order, headers, body)


def _of_razorpay(order: Order, number: int, secret: bytes) -> bytes:
    event_id, body = _payment_event(order.run, number)
    headers = {
        "User-Agent": "Razorpay-Webhook/v1",
        "Accept-Encoding": "gzip",
        "Request-Id": event_id,
        "X-Razorpay-Event-Id": event_id,
        "X-Razorpay-Signature": hmac.digest(secret, body, hashlib.sha256).hex(),
    }
    return _request(order, headers, body)


def payment_id(run: str, number: int | str = "") -> str:
    """Return the gateway's id of a run's payment; without a number, what all of them begin with."""
    return f"pay_{run}{number}"


def order_id(run: str, number: int) -> str:
    """Return the gateway's id of the order that a run's payment is for."""
    return f"order_{run}{number}"


def _payment_event(run: str, number: int) -> tuple[str, bytes]:
    """Return the event id and the body of the run's capture number `number`, by UPI."""
    now = int(clock.now().timestamp())
    payment: dict[str, Any] = {
        "id": payment_id(run, number), "entity": "payment", "amount": PAYMENT_PAISE,
        "currency": "INR", "status": "captured", "order_id": order_id(run, number),
        "invoice_id": None, "international": False, "method": "upi", "amount_refunded": 0,
        "refund_status": None,
        "captured": True, "description": "Credit top-up", "card_id": None, "bank": None,
        "wallet": None, "vpa": "success@razorpay", "email": "void@razorpay.com",
        "contact": "+919999999999", "notes": [], "fee": 13_924, "tax": 2_124, "error_code": None,
        "error_description": None, "error_source": None, "error_step": None,
        "error_reason": None, "acquirer_data": {"rrn": f"{number:012}"}, "created_at": now,
        "reward": None, "upi": {"vpa": "success@razorpay", "flow": "collect"},
        "base_amount": PAYMENT_PAISE,
    }  # fmt: skip
    event = {
        "entity": "event", "account_id": "acc_Benchmark00001", "event": "payment.captured",
        "contains": ["payment"], "payload": {"payment": {"entity": payment}}, "created_at": now,
    }  # fmt: skip
    return f"{run}-E{number}", json.dumps(event, separators=(",", ":")).encode()


def _request(order: Order, headers: dict[str, str], body: bytes) -> bytes:
    head = (
        f"POST /webhooks/{order.source} HTTP/1.1\r\nHost: {HOST}:{order.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    )
    return f"{head}\r\n".encode() + body
