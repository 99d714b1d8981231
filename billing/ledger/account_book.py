"""One account in the middle of a `post`: plain Python without a database.

`billing/ledger/attempt.py` lets the books of the locked accounts apply the postings in their order
and writes the changes that they collect. Lots and debts change here and nowhere else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from billing.ledger import alert_levels, availability
from billing.ledger.alert_levels import Level
from billing.ledger.errors import (
    InsufficientCredit,
    InvalidPosting,
    NothingToWriteOff,
    ReversalTooLarge,
)
from billing.ledger.hash_chain import row_hash
from billing.ledger.kinds import KIND_RULES, REFUND_KINDS, Kind, LotSource
from billing.ledger.lots import Charge, Debt, Lot
from billing.ledger.posting import Posting
from db.outbox import NewNotice


@dataclass(slots=True)
class Changes:
    """The rows that one `post` adds and changes on all its accounts, in the tables' columns."""

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
    """One posting on its way into a book: its ids, its time, and the charge that it reverses."""

    posting: Posting
    request_hash: bytes
    transaction_id: int
    lot_id: int
    """Used if the posting makes a lot."""
    now: datetime
    reverses: Charge | None = None
    takes_first: tuple[int, ...] = ()
    """Ids of the lots that pay it before the burn order applies."""
    refund_expires_at: datetime | None = None
    """When credit expires that is given back to an expired lot."""


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
    """The charges, by id, that postings of this batch reverse."""
    changed: bool = False

    @property
    def available(self) -> int:
        """The credits that can be spent now: balance, less held, plus overdraft limit."""
        return availability.available(
            balance=self.balance, held=self.held, overdraft_limit=self.overdraft_limit
        )

    def expired_lots(self, now: datetime) -> Iterator[tuple[Lot, int]]:
        """Yield each lot past its time and the credits that expire: not what open holds need."""
        free = self.balance - self.held
        for lot in self.lots:
            if lot.expires_at is None or lot.expires_at > now or free <= 0:
                break  # the burn order begins with the soonest expiry
            expiring = min(lot.remaining, free)
            free -= expiring
            yield lot, expiring

    def apply(self, entry: Entry, changes: Changes) -> None:
        """Apply one posting to balance, version, hash, lots and debts, or raise and change nothing.

        Raises `InsufficientCredit`, `InvalidPosting`, `ReversalTooLarge` or `NothingToWriteOff`.
        """
        posting = entry.posting
        self._check(entry)
        self.held -= posting.releases
        self.balance += posting.amount
        self.version += 1
        self.changed = True
        self._write_row(entry, changes)
        self._report_level(posting, changes)
        if posting.amount < 0:
            self._take(-posting.amount, entry, changes)
            return
        if entry.reverses is not None:
            self._give_back(posting.amount, entry.reverses, entry, changes)
        else:
            source = KIND_RULES[posting.kind].lot_source
            self._make_lot(posting.amount, source, posting.expires_at, entry, changes)
        self._pay_debts(entry, changes)

    def _check(self, entry: Entry) -> None:
        posting = entry.posting
        if posting.amount < 0:
            if posting.releases > self.held:
                raise InvalidPosting("releases", f"is more than the {self.held} credits held")
            # A capture may use all credit, not only what other holds leave: its own part is
            # promised. Holds can be short together if a correction took what they covered.
            available = self.balance + self.overdraft_limit if posting.releases else self.available
            # Held credit is promised to others: nothing but a correction takes it.
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

    def _write_row(self, entry: Entry, changes: Changes) -> None:
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
        changes.transactions.append(
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
                posting.request_id,
            )
        )

    def _report_level(self, posting: Posting, changes: Changes) -> None:
        amount, before = posting.amount, self.alert_level
        self.alert_level = alert_levels.level_of(self.balance, self.low_balance)
        if before is self.alert_level or (self.version == 1 and amount > 0):
            return  # an account's first credit recovers nothing
        if amount < 0 and alert_levels.topic(before, self.alert_level) == alert_levels.RECOVERED:
            return  # nor does a charge: a lower threshold of the catalog moved the level
        notice = alert_levels.notice(
            ref=self.ref,
            account_id=self.id,
            before=before,
            after=self.alert_level,
            balance=self.balance,
            low_balance=self.low_balance,
            request_id=posting.request_id,
        )
        if notice is not None:
            changes.notices.append(notice)

    def _take(self, needed: int, entry: Entry, changes: Changes) -> None:
        charge_id = entry.transaction_id
        first = [lot for id_ in entry.takes_first for lot in self.lots if lot.id == id_]
        while needed and self.lots:
            lot = first.pop(0) if first else self.lots[0]
            taken = min(needed, lot.remaining)
            needed -= taken
            self._move(lot, -taken, charge_id, charge_id, changes)
        if needed:
            self.debts.append(Debt(charge_id, needed))
            changes.debts.append((charge_id, self.id, needed, entry.now))
            changes.changed_debts[charge_id] = needed

    def _make_lot(
        self,
        amount: int,
        source: LotSource,
        expires_at: datetime | None,
        entry: Entry,
        changes: Changes,
    ) -> None:
        lot = Lot(entry.lot_id, source, amount, expires_at, entry.now)
        changes.lots.append(
            (lot.id, self.id, entry.transaction_id, source, amount, expires_at, entry.now)
        )
        changes.changed_lots[lot.id] = amount
        self._put_in_order(lot)

    def _give_back(self, amount: int, charge: Charge, entry: Entry, changes: Changes) -> None:
        """Give a charge back: first what it still owes, then its lots in reverse burn order."""
        charge.reversed += amount
        for debt in self.debts:
            if debt.charge_id == charge.id:
                paid = min(amount, debt.remaining)
                amount -= paid
                self._pay(debt, paid, changes)
                break
        expired = 0
        while amount:
            lot, taken = charge.taken.pop()
            back = min(amount, taken)
            amount -= back
            if taken > back:
                charge.taken.append((lot, taken - back))
            self._move(lot, back, charge.id, entry.transaction_id, changes)
            if lot.expires_at is not None and lot.expires_at <= entry.now:
                # An expired lot cannot be spent: the credit moves on into a new lot.
                self._move(lot, -back, entry.transaction_id, entry.transaction_id, changes)
                expired += back
        if expired:
            self._make_lot(expired, "goodwill", entry.refund_expires_at, entry, changes)

    def _pay_debts(self, entry: Entry, changes: Changes) -> None:
        while self.debts and self.lots:
            debt, lot = self.debts[0], self.lots[0]
            paid = min(debt.remaining, lot.remaining)
            # The movement names the indebted charge, so that its reversal finds this lot.
            self._move(lot, -paid, debt.charge_id, entry.transaction_id, changes)
            charge = self.reversible.get(debt.charge_id)
            if charge and entry.posting.kind is Kind.WRITE_OFF:
                charge.forgiven += paid
            elif charge:
                charge.took(lot, paid)
            self._pay(debt, paid, changes)

    def _pay(self, debt: Debt, amount: int, changes: Changes) -> None:
        debt.remaining -= amount
        changes.changed_debts[debt.charge_id] = debt.remaining
        if not debt.remaining:
            self.debts.remove(debt)

    def _move(
        self, lot: Lot, amount: int, charge_id: int, transaction_id: int, changes: Changes
    ) -> None:
        """Take from a lot (negative) or give back to it (positive)."""
        if amount > 0 and not lot.remaining:
            self._put_in_order(lot)
        lot.remaining += amount
        changes.changed_lots[lot.id] = lot.remaining
        changes.movements.append((charge_id, lot.id, transaction_id, amount))
        if not lot.remaining:
            self.lots.remove(lot)

    def _put_in_order(self, lot: Lot) -> None:
        self.lots.append(lot)
        if len(self.lots) > 1:
            self.lots.sort(key=Lot.burn_key)
