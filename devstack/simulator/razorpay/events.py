"""Razorpay's webhooks: the two ways it writes bodies, its signature, its headers.

Events of payments, orders, disputes and settlements begin with `entity`; those of refunds have all
keys sorted. Neither has blanks, so that a receiver which writes the body anew before it checks the
signature fails on one of them. No captured body shows how text beyond ASCII is written: here the
first escapes it, as PHP does, and the second does not.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from devstack.simulator.courier import Parcel
from devstack.simulator.ladder import razorpay_gaps
from devstack.simulator.razorpay.store import Entity
from devstack.simulator.switches import SwitchError
from devstack.simulator.world import World, unix_now

ACCOUNT_ID = "acc_Simulator00001"
SORTED = ("refund.", "payment_link.")
ONLY_SORTED_BODIES_HAVE: Entity = {
    "account_id": None, "amount_transferred": 0, "customer_id": None, "device_id": None,
    "fee_bearer": None, "gateway_merchant_id": None, "gateway_provider": "Razorpay",
    "gateway_terminal_id": None, "internal_status": None, "optimizer_provider": None,
    "provider": None, "receiver_type": None, "settled_by": None, "source_channel": "online",
    "store_id": None, "terminal_id": None, "token_id": None,
}  # fmt: skip


def sign(body: bytes, secret: str) -> str:
    """Return the value of `X-Razorpay-Signature`: hex of HMAC-SHA256 over the raw body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def write(event: str, payload: dict[str, Entity], created_at: int) -> bytes:
    """Return the body of an event, byte for byte as it is signed and sent."""
    envelope = {
        "entity": "event", "account_id": ACCOUNT_ID, "event": event, "contains": list(payload),
        "payload": {name: {"entity": entity} for name, entity in payload.items()},
        "created_at": created_at,
    }  # fmt: skip
    is_sorted = event.startswith(SORTED)
    text = json.dumps(
        envelope, sort_keys=is_sorted, separators=(",", ":"), ensure_ascii=not is_sorted
    )
    return text.encode()


class Publish:
    """Collects events that happen together, each with its entities as they are at that moment."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.parcels: list[Parcel] = []

    def __call__(self, event: str, **entities: Entity) -> None:
        """Tell of an event; the entities stand in the body in the order of the arguments."""
        payload = {
            name: _payment(self._world, event, entity) if name == "payment" else entity
            for name, entity in entities.items()
        }
        if "order" in payload:  # the copies in webhooks have them since the end of 2025
            payload["order"] = payload["order"] | {"description": None, "checkout": None}
        body = write(event, payload, unix_now())
        event_id = self._world.chance.text("id:event", 14)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Razorpay-Webhook/v1",
            "Accept-Encoding": "gzip",
            "Request-Id": event_id,
            "X-Razorpay-Event-Id": event_id,
            "X-Razorpay-Signature": sign(body, self._secret()),
            "X-Simulator": "razorpay",
        }
        self.parcels.append(
            Parcel("razorpay", event_id, event, body, lambda: headers, razorpay_gaps)
        )

    def _secret(self) -> str:
        secrets = self._world.config.razorpay_webhook_secrets
        # One secret cannot be changed; `require_old_secret` has refused the switch.
        return secrets[1 if self._world.rolls("old_secret") and len(secrets) > 1 else 0]


@contextmanager
def publishing(world: World) -> Iterator[Publish]:
    """Yield a publisher; its events are sent when the block ends without an error."""
    publish = Publish(world)
    yield publish
    world.courier.send(publish.parcels, world.razorpay_webhook_urls, world.chance)


def require_old_secret(world: World, changes: dict[str, Any]) -> None:
    """Raise `SwitchError` if `old_secret` is asked for and there is none."""
    if changes.get("old_secret") and len(world.config.razorpay_webhook_secrets) < 2:
        raise SwitchError("old_secret: RAZORPAY_WEBHOOK_SECRETS holds only one secret")


def _payment(world: World, event: str, payment: Entity) -> Entity:
    """Return the payment as this event shows it."""
    shown = {}
    for name, value in payment.items():
        shown[name] = value
        if name == "card_id" and value:
            shown["card"] = world.razorpay.cards[value]
    if event.startswith(SORTED):
        return ONLY_SORTED_BODIES_HAVE | shown | {"base_amount": payment["amount"]}
    if event in {"payment.captured", "order.paid"}:
        upi, made_at = shown.pop("upi", None), shown.pop("created_at")
        shown |= {"emi_plan": None} if upi else {}
        shown |= {"created_at": made_at, "reward": None}
        shown |= {"upi": upi} if upi else {}
    if event == "payment.captured":
        shown["base_amount"] = payment["amount"]
    return shown
