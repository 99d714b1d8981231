"""Stripe's webhooks: pretty-printed bodies, signed together with the time of sending."""

import copy
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager

from flask import has_request_context, request

from devstack.simulator.courier import Parcel
from devstack.simulator.ladder import stripe_gaps
from devstack.simulator.stripe import objects
from devstack.simulator.stripe.store import Entity
from devstack.simulator.world import World, unix_now


def sign(body: bytes, secrets: list[str], at: int) -> str:
    """Return the value of `Stripe-Signature`; several `v1` while a secret is being rolled."""
    message = f"{at}.".encode() + body
    signatures = [
        hmac.new(secret.encode(), message, hashlib.sha256).hexdigest() for secret in secrets
    ]
    return ",".join([f"t={at}", *(f"v1={signature}" for signature in signatures)])


class Publish:
    """Collects events that happen together, each with its object as it is at that moment."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.parcels: list[Parcel] = []

    def __call__(self, kind: str, subject: Entity) -> None:
        """Tell of an event about an object."""
        world = self._world
        key = request.headers.get("Idempotency-Key") if has_request_context() else None
        event: Entity = {
            "id": objects.new_id(world, "evt"), "object": "event",
            "api_version": objects.API_VERSION, "created": unix_now(),
            "data": {"object": copy.deepcopy(subject)}, "livemode": False,
            "pending_webhooks": len(world.stripe_webhook_urls),
            "request": {"id": None, "idempotency_key": key}, "type": kind,
        }  # fmt: skip
        world.stripe.events[event["id"]] = event
        body = json.dumps(event, indent=2).encode()
        secrets = list(world.config.stripe_webhook_secrets)
        if not world.rolls("old_secret"):
            secrets = secrets[:1]

        def headers() -> dict[str, str]:
            return {
                "Content-Type": "application/json; charset=utf-8",
                "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
                "Accept": "*/*; q=0.5, application/xml",
                "Cache-Control": "no-cache",
                "Stripe-Signature": sign(body, secrets, unix_now()),
                "X-Simulator": "stripe",
            }

        self.parcels.append(Parcel("stripe", event["id"], kind, body, headers, stripe_gaps))


@contextmanager
def publishing(world: World) -> Iterator[Publish]:
    """Yield a publisher; its events are sent when the block ends without an error."""
    publish = Publish(world)
    yield publish
    world.courier.send(publish.parcels, world.stripe_webhook_urls, world.chance)
