"""Lots, debts, and the charges that a posting reverses, as an account book holds them."""

from dataclasses import dataclass
from datetime import datetime

from billing.ledger.kinds import Kind, LotSource

_BURN_ORDER: dict[str, int] = {"grant": 0, "bonus": 1, "goodwill": 2, "purchase": 3}


@dataclass(slots=True)
class Lot:
    """Credit of one origin; open while some of it remains."""

    id: int
    source: LotSource
    remaining: int
    expires_at: datetime | None
    created_at: datetime

    def burn_key(self) -> tuple[bool, float, int, datetime, int]:
        """Return the sort key of the burn order: soonest expiry, then source, then oldest."""
        expires = self.expires_at
        return (
            expires is None,
            expires.timestamp() if expires else 0.0,
            _BURN_ORDER[self.source],
            self.created_at,
            self.id,
        )


@dataclass(slots=True)
class Debt:
    """The part of a charge that no lot covered; the next credit pays the oldest debt first."""

    charge_id: int
    remaining: int


@dataclass(slots=True)
class Charge:
    """A charge that a posting reverses, as recorded when its account was locked."""

    id: int
    idempotency_key: str
    account: str
    kind: Kind
    amount: int
    reversed: int
    """Credits that earlier reversals gave back."""
    forgiven: int
    """Credits that write-offs paid of it. Nobody gave them, so nobody gets them back."""
    taken: list[tuple[Lot, int]]
    """The credits that it still holds of each lot, in the burn order."""

    @property
    def left(self) -> int:
        """The credits that can still be given back."""
        return -self.amount - self.reversed - self.forgiven

    def took(self, lot: Lot, amount: int) -> None:
        """Add what a lot has paid of its debt since the charge was loaded."""
        before = sum(taken for other, taken in self.taken if other is lot)
        self.taken = [entry for entry in self.taken if entry[0] is not lot]
        self.taken.append((lot, before + amount))
        self.taken.sort(key=lambda entry: entry[0].burn_key())
