"""Deliveries as the gateways make them, signed unless a test spoils them."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from uuid import uuid4

import clock
from tests.server_process import Answer, Header
from tests.webhook_receiver.conftest import RAZORPAY_SECRETS, STRIPE_SECRETS
from tests.webhook_receiver.receiver_process import ReceiverProcess


@dataclass(frozen=True)
class GatewayDelivery:
    """One delivery at a gateway's door."""

    path: str
    body: bytes
    headers: tuple[Header, ...]

    @property
    def source(self) -> str:
        """What the inbox calls the gateway."""
        return self.path.rpartition("/")[2]

    def post_to(self, receiver: ReceiverProcess, *more: Header) -> Answer:
        """Post it, with further headers."""
        return receiver.request("POST", self.path, self.body, [*self.headers, *more])


def captured(**changes: object) -> bytes:
    """Return the body of a payment's capture, in Razorpay's form; no two are alike."""
    payment = {"id": f"pay_{uuid4().hex[:14]}", "entity": "payment", "amount": 118_000} | changes
    event = {
        "entity": "event", "account_id": "acc_Tests000000001", "event": "payment.captured",
        "contains": ["payment"], "payload": {"payment": {"entity": payment}},
    }  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode()


def completed(event_id: str | None = None) -> bytes:
    """Return the body of a Checkout Session's completion, in Stripe's form."""
    event = {
        "id": event_id or f"evt_{uuid4().hex}", "object": "event",
        "type": "checkout.session.completed", "data": {"object": {"id": "cs_test_1"}},
    }  # fmt: skip
    return json.dumps(event, indent=2).encode()


def hmac_of(secret: str, message: bytes) -> str:
    """Return hex HMAC-SHA256, as both gateways write it."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def razorpay_delivery(
    body: bytes | None = None,
    *,
    event_id: str | None = None,
    secret: str = RAZORPAY_SECRETS[0],
    **headers: str | None,
) -> GatewayDelivery:
    """Return a delivery; `x_razorpay_event_id=None` leaves a header out, a text replaces it."""
    body = captured() if body is None else body
    event_id = event_id or uuid4().hex[:14]
    all_headers: dict[str, str | None] = {
        "content-type": "application/json",
        "user-agent": "Razorpay-Webhook/v1",
        "request-id": event_id,
        "x-razorpay-event-id": event_id,
        "x-razorpay-signature": hmac_of(secret, body),
    }
    return GatewayDelivery("/webhooks/razorpay", body, _chosen(all_headers, headers))


def stripe_delivery(
    body: bytes | None = None,
    *,
    secret: str = STRIPE_SECRETS[0],
    age_seconds: int = 0,
    **headers: str | None,
) -> GatewayDelivery:
    """Return a delivery; `stripe_signature=None` leaves a header out, a text replaces it."""
    body = completed() if body is None else body
    at = int(clock.now().timestamp()) - age_seconds
    all_headers: dict[str, str | None] = {
        "content-type": "application/json; charset=utf-8",
        "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "stripe-signature": f"t={at},v1={hmac_of(secret, f'{at}.'.encode() + body)}",
    }
    return GatewayDelivery("/webhooks/stripe", body, _chosen(all_headers, headers))


def _chosen(headers: dict[str, str | None], changes: dict[str, str | None]) -> tuple[Header, ...]:
    merged = headers | {name.replace("_", "-"): value for name, value in changes.items()}
    return tuple((name, value) for name, value in merged.items() if value is not None)
