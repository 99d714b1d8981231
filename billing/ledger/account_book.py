"""One account in the middle of a `post`: plain Python, no database in sight.

`billing/ledger/writer.py` opens a book for each account it has locked, lets it apply the postings
in their order, and writes what the books collected. Lots and debts change here and nowhere else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from billing.ledger import alert_levels as alerts
from billing.ledger import availability
from billing.ledger.alert_levels import Level
from billing.ledger.errors import (
    InsufficientCredit,
    InvalidPosting,
    NothingToWriteOff,
    ReversalTooLarge,
)
from billing.ledger.hash_chain import row_hash
from billing.ledger.kinds import KIND_RULES, REFUND_KINDS, Kind, LotSource
from billing.ledger.posting import Posting
from db.outbox import NewNotice

_BURN_ORDER: dict[str, int] = {"grant": 0, "bonus": 1, "goodwill": 2, "purchase": 3}


@dataclass(slots=True)
class Lot:
    """Credit of one origin; open while something of it remains."""

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
class Charge:
    """A charge that is given back: what is on record of it, under the account's lock."""

    id: int
    idempotency_key: str
    account: str
    kind: Kind
    amount: int
    reversed: int
    """What earlier reversals gave back."""
    forgiven: int
    """What write-offs paid of it. Nobody gave that, so that nobody gets it back."""
    taken: list[tuple[Lot, int]]
    """What it still holds of which lot, in the burn order."""

    @property
    def left(self) -> int:
        """What can still be given back."""
        return -self.amount - self.reversed - self.forgiven

    def took(self, lot: Lot, amount: int) -> None:
        """Note that more of its debt was paid from a lot since it was loaded."""
        before = sum(taken for other, taken in self.taken if other is lot)
        self.taken = [entry for entry in self.taken if entry[0] is not lot]
        self.taken.append((lot, before + amount))
        self.taken.sort(key=lambda entry: entry[0].burn_key())


@dataclass(slots=True)
class Writes:
    """Rows that one `post` adds and changes, over all its accounts, in the tables' columns."""

    transactions: list[tuple[object, ...]] = field(default_factory=list)
    lots: list[tuple[object, ...]] = field(default_factory=list)
    movements: list[tuple[object, ...]] = field(default_factory=list)
    debts: list[tuple[object, ...]] = field(default_factory=list)
    notices: list[NewNotice] = field(default_factory=list)
    changed_lots: dict[int, int] = field(default_factory=dict)
    """Lot id -> what remains."""
    changed_debts: dict[int, int] = field(default_factory=dict)
    """Charge id -> what is still unpaid."""


@dataclass(slots=True)
class Entry:
    """One posting on its way into a book: its ids, its time, and the charge it reverses."""

    posting: Posting
    request_hash: bytes
    transaction_id: int
    lot_id: int
    """Used if the posting makes a lot."""
    now: datetime
    reverses: Charge | None = None
    takes_first: tuple[int, ...] = ()
    """Lots that pay it before the burn order, by id."""
    refund_expires_at: datetime | None = None
    """Until when credit lives that is given back to a lot which has expired."""


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
    timezone: str
    alert_level: Level
    low_balance: int
    lots: list[Lot] = field(default_factory=list)
    debts: list[Debt] = field(default_factory=list)
    reversible: dict[int, Charge] = field(default_factory=dict)
    """The charges, by id, that a later posting of this batch gives back."""
    changed: bool = False

    @property
    def available(self) -> int:
        """What can be spent now: the balance less what is held, plus the overdraft."""
        return availability.available(
            balance=self.balance, held=self.held, overdraft_limit=self.overdraft_limit
        )

    def expired_lots(self, now: datetime) -> Iterator[tuple[Lot, int]]:
        """Yield the lots past their time and what goes of each: never what open holds need."""
        free = self.balance - self.held
        for lot in self.lots:
            if lot.expires_at is None or lot.expires_at > now or free <= 0:
                break  # the burn order begins with what expires first
            gone = min(lot.remaining, free)
            free -= gone
            yield lot, gone

    def apply(self, entry: Entry, writes: Writes) -> None:
        """Apply one posting: balance, version, hash, lots and debts; or raise, changing nothing.

        Raises `InsufficientCredit`, `InvalidPosting`, `ReversalTooLarge` or `NothingToWriteOff`.
        """
        posting = entry.posting
        self._refuse(entry)
        self.held -= posting.releases
        self.balance += posting.amount
        self.version += 1
        self.changed = True
        self._write_row(entry, writes)
        self._report_level(posting.amount, writes)
        if posting.amount < 0:
            self._take(-posting.amount, entry, writes)
            return
        if entry.reverses is not None:
            self._give_back(posting.amount, entry.reverses, entry, writes)
        else:
            source = KIND_RULES[posting.kind].lot_source
            self._make_lot(posting.amount, source, posting.expires_at, entry, writes)
        self._pay_debts(entry, writes)

    def _refuse(self, entry: Entry) -> None:
        posting = entry.posting
        if posting.amount < 0:
            if posting.releases > self.held:
                raise InvalidPosting("releases", f"is more than the {self.held} credits held")
            # What is held was promised: a capture asks for credit only, not for what other holds
            # leave of it. They can be short together where a correction took what they covered.
            available = self.balance + self.overdraft_limit if posting.releases else self.available
            # What is held was promised to others: nothing but a correction takes it.
            passes_limit = KIND_RULES[posting.kind].passes_overdraft_limit or (
                posting.passes_overdraft_limit and not self.held
            )
            if -posting.amount > available and not passes_limit:
                raise InsufficientCredit(self.ref, needed=-posting.amount, available=available)
        elif posting.kind in REFUND_KINDS:
            left = entry.reverses.left if entry.reverses else 0
            if posting.amount > left:
                raise ReversalTooLarge(posting.reverses or "", asked=posting.amount, left=left)
        elif posting.kind is Kind.WRITE_OFF and posting.amount > -self.balance:
            raise NothingToWriteOff(self.ref, asked=posting.amount, debt=max(0, -self.balance))

    def _write_row(self, entry: Entry, writes: Writes) -> None:
        posting = entry.posting
        event_at = posting.event_at or entry.now
        self.head_hash = row_hash(
            self.head_hash,
            version=self.version,
            amount=posting.amount,
            balance_after=self.balance,
            kind=posting.kind.value,
            idempotency_key=posting.idempotency_key,
            request_hash=entry.request_hash,
            lead_id=posting.lead_id,
            payment_id=posting.payment_id,
            dispute_id=posting.dispute_id,
            actor=posting.actor,
            description=posting.description,
            event_at=event_at,
            created_at=entry.now,
            reverses_key=posting.reverses,
        )
        writes.transactions.append(
            (
                posting.idempotency_key,
                entry.transaction_id,
                self.id,
                self.version,
                posting.amount,
                self.balance,
                posting.kind.value,
                entry.request_hash,
                posting.lead_id,
                posting.payment_id,
                posting.dispute_id,
                posting.actor,
                posting.description,
                event_at,
                entry.now,
                self.head_hash,
                entry.reverses.id if entry.reverses else None,
            )
        )

    def _report_level(self, amount: int, writes: Writes) -> None:
        before, self.alert_level = (
            self.alert_level,
            alerts.level_of(self.balance, self.low_balance),
        )
        if before is self.alert_level or (self.version == 1 and amount > 0):
            return  # an account's first credit recovers nothing
        if amount < 0 and alerts.topic(before, self.alert_level) == alerts.RECOVERED:
            return  # nor does a charge: processes of before the alerts left the level as it was
        notice = alerts.notice(
            ref=self.ref,
            account_id=self.id,
            before=before,
            after=self.alert_level,
            balance=self.balance,
            low_balance=self.low_balance,
        )
        if notice is not None:
            writes.notices.append(notice)

    def _take(self, needed: int, entry: Entry, writes: Writes) -> None:
        charge_id = entry.transaction_id
        named = [lot for id_ in entry.takes_first for lot in self.lots if lot.id == id_]
        while needed and self.lots:
            lot = named.pop(0) if named else self.lots[0]
            taken = min(needed, lot.remaining)
            needed -= taken
            self._move(lot, -taken, charge_id, charge_id, writes)
        if needed:
            self.debts.append(Debt(charge_id, needed))
            writes.debts.append((charge_id, self.id, needed, entry.now))
            writes.changed_debts[charge_id] = needed

    def _make_lot(
        self,
        amount: int,
        source: LotSource,
        expires_at: datetime | None,
        entry: Entry,
        writes: Writes,
    ) -> None:
        lot = Lot(entry.lot_id, source, amount, expires_at, entry.now)
        writes.lots.append(
            (lot.id, self.id, entry.transaction_id, source, amount, expires_at, entry.now)
        )
        writes.changed_lots[lot.id] = amount
        self._put_in_order(lot)

    def _give_back(self, amount: int, charge: Charge, entry: Entry, writes: Writes) -> None:
        """Give a charge back: what it still owes, then its lots, what burns last comes first."""
        charge.reversed += amount
        for debt in self.debts:
            if debt.charge_id == charge.id:
                paid = min(amount, debt.remaining)
                amount -= paid
                self._pay(debt, paid, writes)
                break
        expired = 0
        while amount:
            lot, taken = charge.taken.pop()
            back = min(amount, taken)
            amount -= back
            if taken > back:
                charge.taken.append((lot, taken - back))
            self._move(lot, back, charge.id, entry.transaction_id, writes)
            if lot.expires_at is not None and lot.expires_at <= entry.now:
                # Not to be spent from there: it moves on into a lot with a life of its own.
                self._move(lot, -back, entry.transaction_id, entry.transaction_id, writes)
                expired += back
        if expired:
            self._make_lot(expired, "goodwill", entry.refund_expires_at, entry, writes)

    def _pay_debts(self, entry: Entry, writes: Writes) -> None:
        while self.debts and self.lots:
            debt, lot = self.debts[0], self.lots[0]
            paid = min(debt.remaining, lot.remaining)
            # The movement names the indebted charge, so that its reversal finds this lot.
            self._move(lot, -paid, debt.charge_id, entry.transaction_id, writes)
            charge = self.reversible.get(debt.charge_id)
            if charge and entry.posting.kind is Kind.WRITE_OFF:
                charge.forgiven += paid
            elif charge:
                charge.took(lot, paid)
            self._pay(debt, paid, writes)

    def _pay(self, debt: Debt, amount: int, writes: Writes) -> None:
        debt.remaining -= amount
        writes.changed_debts[debt.charge_id] = debt.remaining
        if not debt.remaining:
            self.debts.remove(debt)

    def _move(
        self, lot: Lot, amount: int, charge_id: int, transaction_id: int, writes: Writes
    ) -> None:
        """Take from a lot (negative) or give back to it (positive)."""
        if amount > 0 and not lot.remaining:
            self._put_in_order(lot)
        lot.remaining += amount
        writes.changed_lots[lot.id] = lot.remaining
        writes.movements.append((charge_id, lot.id, transaction_id, amount))
        if not lot.remaining:
            self.lots.remove(lot)

    def _put_in_order(self, lot: Lot) -> None:
        self.lots.append(lot)
        if len(self.lots) > 1:
            self.lots.sort(key=Lot.burn_key)
