"""What the simulated Stripe remembers. Objects are dicts in the form of its API."""

from dataclasses import dataclass, field
from typing import Any

Entity = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """The first answer to an idempotency key, and what was asked."""

    asked: tuple[str, tuple[tuple[str, str], ...]]
    status: int
    body: bytes


@dataclass
class StripeStore:
    """Everything by id, in the order of its making."""

    sessions: dict[str, Entity] = field(default_factory=dict)
    line_items: dict[str, list[Entity]] = field(default_factory=dict)
    intent_metadata: dict[str, Entity] = field(default_factory=dict)
    """Session -> what its PaymentIntent will carry."""
    intents: dict[str, Entity] = field(default_factory=dict)
    charges: dict[str, Entity] = field(default_factory=dict)
    refunds: dict[str, Entity] = field(default_factory=dict)
    disputes: dict[str, Entity] = field(default_factory=dict)
    events: dict[str, Entity] = field(default_factory=dict)
    answers: dict[str, Stored] = field(default_factory=dict)
