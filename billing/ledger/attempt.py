"""One computation of a post on locked accounts. Called by `billing/ledger/writer.py` alone.

Load what the postings touch, let due credit expire, apply the postings in plain Python
(`billing/ledger/account_book.py`), write all rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from billing import catalog
from billing.calendar import end_of_local_day
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.ledger import queries, writes
from billing.ledger.account_book import AccountBook, Changes, Entry
from billing.ledger.errors import (
    InsufficientCredit,
    InvalidPosting,
    NothingToWriteOff,
    ReversalTooLarge,
    UnknownCharge,
)
from billing.ledger.kinds import KIND_RULES, Kind
from billing.ledger.lots import Charge, Lot
from billing.ledger.posting import Outcome, Posting, PostingResult
from billing.ledger.queries import AppliedRow
from errors import PermanentError

EXPIRY_ACTOR = "system:expiry"


@dataclass(slots=True)
class Attempt:
    """One try; if another transaction wrote one of its keys meanwhile, it wrote nothing."""

    session: Session
    books: dict[str, AccountBook]
    """Locked, by reference; changed by `run`."""
    now: datetime
    changes: Changes = field(default_factory=Changes)
    charges: dict[str, Charge] = field(default_factory=dict)
    """The charges that postings reverse, by key."""
    lots_of_keys: dict[str, int] = field(default_factory=dict)
    """Key of a credit -> its lot, for the postings that take certain lots first."""
    transaction_ids: Iterator[int] = field(default_factory=lambda: iter(()))
    lot_ids: Iterator[int] = field(default_factory=lambda: iter(()))

    def run(
        self, requests: Sequence[tuple[Posting, bytes]], *, look_up: bool
    ) -> list[PostingResult]:
        """Apply postings, each with its request hash, and write the rows.

        Without postings, only let credit expire. `look_up` asks first which keys are applied.
        Raises `writes.KeyTaken`.
        """
        keys = {posting.idempotency_key for posting, _ in requests}
        has_repeats = len(keys) < len(requests)
        applied = queries.find_applied(self.session, keys) if keys and look_up else {}
        fresh = [
            posting
            for posting, _ in requests
            if posting.idempotency_key not in applied and posting.account in self.books
        ]
        touched = {posting.account for posting in fresh} if requests else set(self.books)
        self._load(fresh, touched)
        expiries = list(self._expiries(touched))
        self._reserve_ids(fresh, expiries)
        for expiry in expiries:
            self.books[expiry.account].apply(
                self._entry(expiry, expiry.request_hash()), self.changes
            )
        results = []
        for posting, request_hash in requests:
            before = applied.get(posting.idempotency_key)
            if before is not None:
                results.append(_repeated_or_conflict(posting, request_hash, before))
                continue
            result = self._apply(posting, request_hash)
            if has_repeats and result.outcome is Outcome.APPLIED:
                applied[posting.idempotency_key] = AppliedRow.of(posting, request_hash, result)
            results.append(result)
        writes.write(self.session, self.changes, self.books.values(), now=self.now)
        return results

    def _load(self, fresh: Sequence[Posting], touched: set[str]) -> None:
        lots = queries.load_lots_and_debts(self.session, [self.books[ref] for ref in touched])
        reversed_keys = {p.reverses for p in fresh if p.reverses is not None}
        self.charges = queries.load_charges(self.session, reversed_keys, lots)
        for charge in self.charges.values():
            if charge.account in self.books:
                self.books[charge.account].reversible[charge.id] = charge
        self.lots_of_keys = queries.lots_of_keys(
            self.session, {key for p in fresh for key in p.takes_first}
        )

    def _expiries(self, accounts: set[str]) -> Iterator[Posting]:
        expired = [
            (book, lot, credits_, version)
            for book in (self.books[ref] for ref in sorted(accounts))
            for version, (lot, credits_) in enumerate(book.expired_lots(self.now), book.version + 1)
        ]
        if not expired:
            return
        keys = queries.keys_of_lots(self.session, [lot.id for _, lot, _, _ in expired])
        for book, lot, credits_, version in expired:
            # The version of the row makes the key unique: a lot expires in steps while holds need
            # it, and again if a host whose clock lags gave credit back to it.
            yield _expiry(book.ref, lot, credits_, f"lot:{keys[lot.id]}:expiry:{version}")

    def _reserve_ids(self, fresh: Sequence[Posting], expiries: Sequence[Posting]) -> None:
        rows, lots = len(expiries) + len(fresh), sum(p.amount > 0 for p in fresh)
        self.transaction_ids = iter(queries.next_transaction_ids(self.session, rows))
        self.lot_ids = iter(queries.next_lot_ids(self.session, lots))

    def _entry(self, posting: Posting, request_hash: bytes) -> Entry:
        lot_id = next(self.lot_ids) if posting.amount > 0 else 0
        entry = Entry(posting, request_hash, next(self.transaction_ids), lot_id, self.now)
        entry.takes_first = tuple(
            self.lots_of_keys[key] for key in posting.takes_first if key in self.lots_of_keys
        )
        return entry

    def _apply(self, posting: Posting, request_hash: bytes) -> PostingResult:
        book = self.books.get(posting.account)
        if book is None:
            return _refused(UnknownAccount(posting.account))
        entry = self._entry(posting, request_hash)
        if posting.expires_at is not None and posting.expires_at <= self.now:
            return _refused(InvalidPosting("expires_at", "must be in the future"))
        if posting.reverses is not None:
            charge = self.charges.get(posting.reverses)
            if (
                charge is None
                or charge.account != posting.account
                or KIND_RULES[charge.kind].reversed_by is not posting.kind
            ):
                return _refused(UnknownCharge(posting.reverses))
            entry.reverses = charge
            entry.refund_expires_at = end_of_local_day(
                self.now, book.timezone, days_later=catalog.get().lots.refund_of_expired_days
            )
        try:
            book.apply(entry, self.changes)
        except (InsufficientCredit, InvalidPosting, NothingToWriteOff, ReversalTooLarge) as error:
            return _refused(error, account_id=book.id)
        return PostingResult(
            Outcome.APPLIED, entry.transaction_id, book.version, book.balance, book.id
        )


def _expiry(account: str, lot: Lot, credits_: int, key: str) -> Posting:
    return Posting(
        account=account,
        amount=-credits_,
        kind=Kind.EXPIRY,
        idempotency_key=key,
        actor=EXPIRY_ACTOR,
        description=f"Credit of {lot.created_at:%Y-%m-%d} expired",
        event_at=lot.expires_at,
    )


def _refused(error: PermanentError, *, account_id: int = 0) -> PostingResult:
    return PostingResult(Outcome.REFUSED, account_id=account_id, error=error)


def _repeated_or_conflict(
    posting: Posting, request_hash: bytes, before: AppliedRow
) -> PostingResult:
    if before.request_hash == request_hash:
        return PostingResult(
            Outcome.REPEATED, before.transaction_id, before.version, before.balance_after
        )
    return _refused(IdempotencyConflict(posting.idempotency_key, before.differences(posting)))
