"""One account in the middle of a `post`: plain Python, no database in sight.

`billing/ledger.py` opens a book for each account it has locked, lets it apply the postings in
their order, and writes what the book collected. Lots and debts change here and nowhere else.
"""

from dataclasses import dataclass, field
from datetime import datetime

from billing.errors import InsufficientCredit
from billing.hash_chain import row_hash
from billing.kinds import KIND_RULES, LotSource
from billing.postings import Posting

_BURN_ORDER: dict[str, int] = {"grant": 0, "bonus": 1, "goodwill": 2, "purchase": 3}


@dataclass(slots=True)
class Lot:
    """Credit of one origin that is not used up; `taken` counts what this post took from it."""

    id: int
    source: LotSource
    remaining: int
    expires_at: datetime | None
    created_at: datetime

    def burn_key(self) -> tuple[bool, float, int, datetime, int]:
        """Sort key of the burn order: soonest expiry, then by source, then oldest."""
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
    """The part of a charge that no lot covered; the next credit pays the oldest first."""

    charge_id: int
    remaining: int


@dataclass(slots=True)
class Writes:
    """Rows that one `post` adds and changes, over all its accounts, in the tables' columns."""

    transactions: list[tuple[object, ...]] = field(default_factory=list)
    lots: list[tuple[object, ...]] = field(default_factory=list)
    movements: list[tuple[object, ...]] = field(default_factory=list)
    debts: list[tuple[object, ...]] = field(default_factory=list)
    changed_lots: dict[int, int] = field(default_factory=dict)
    """Lot id -> what remains."""
    changed_debts: dict[int, int] = field(default_factory=dict)
    """Charge id -> what is still unpaid."""


@dataclass(slots=True)
class AccountBook:
    """A locked account: its balance, its open lots in burn order, its open debts, oldest first."""

    id: int
    ref: str
    balance: int
    held: int
    overdraft_limit: int
    version: int
    head_hash: bytes
    lots: list[Lot] = field(default_factory=list)
    debts: list[Debt] = field(default_factory=list)
    changed: bool = False

    @property
    def available(self) -> int:
        """What can be spent now: the balance less what is held, plus the overdraft."""
        return self.balance - self.held + self.overdraft_limit

    def apply(
        self,
        posting: Posting,
        request_hash: bytes,
        *,
        transaction_id: int,
        lot_id: int,
        now: datetime,
        writes: Writes,
    ) -> None:
        """Apply one posting: balance, version, hash, lots and debts; raise and change nothing.

        `lot_id` is used if the posting makes a lot. Raises `InsufficientCredit`.
        """
        amount = posting.amount
        if amount < 0:
            passes_limit = KIND_RULES[posting.kind].passes_overdraft_limit
            if -amount > self.available and not passes_limit:
                raise InsufficientCredit(self.ref, needed=-amount, available=self.available)
        self.balance += amount
        self.version += 1
        self.changed = True
        event_at = posting.event_at or now
        self.head_hash = row_hash(
            self.head_hash,
            version=self.version,
            amount=amount,
            balance_after=self.balance,
            kind=posting.kind.value,
            idempotency_key=posting.idempotency_key,
            request_hash=request_hash,
            lead_id=posting.lead_id,
            payment_id=posting.payment_id,
            dispute_id=posting.dispute_id,
            actor=posting.actor,
            description=posting.description,
            event_at=event_at,
            created_at=now,
        )
        writes.transactions.append(
            (
                posting.idempotency_key,
                transaction_id,
                self.id,
                self.version,
                amount,
                self.balance,
                posting.kind.value,
                request_hash,
                posting.lead_id,
                posting.payment_id,
                posting.dispute_id,
                posting.actor,
                posting.description,
                event_at,
                now,
                self.head_hash,
            )
        )
        if amount < 0:
            self._take(-amount, transaction_id, now, writes)
        else:
            self._give(posting, transaction_id, lot_id, now, writes)

    def _take(self, needed: int, charge_id: int, now: datetime, writes: Writes) -> None:
        while needed and self.lots:
            lot = self.lots[0]
            taken = min(needed, lot.remaining)
            needed -= taken
            lot.remaining -= taken
            writes.changed_lots[lot.id] = lot.remaining
            writes.movements.append((charge_id, lot.id, charge_id, -taken))
            if not lot.remaining:
                del self.lots[0]
        if needed:
            self.debts.append(Debt(charge_id, needed))
            writes.debts.append((charge_id, self.id, needed, now))
            writes.changed_debts[charge_id] = needed

    def _give(
        self, posting: Posting, transaction_id: int, lot_id: int, now: datetime, writes: Writes
    ) -> None:
        remaining = posting.amount
        while remaining and self.debts:
            debt = self.debts[0]
            paid = min(remaining, debt.remaining)
            remaining -= paid
            debt.remaining -= paid
            writes.changed_debts[debt.charge_id] = debt.remaining
            # The movement names the indebted charge, so that its reversal finds this lot.
            writes.movements.append((debt.charge_id, lot_id, transaction_id, -paid))
            if not debt.remaining:
                del self.debts[0]
        source = KIND_RULES[posting.kind].lot_source
        writes.lots.append(
            (lot_id, self.id, transaction_id, source, posting.amount, posting.expires_at, now)
        )
        writes.changed_lots[lot_id] = remaining
        if remaining:
            self.lots.append(Lot(lot_id, source, remaining, posting.expires_at, now))
            self.lots.sort(key=Lot.burn_key)
