"""The ledger: `post` is the only writer of credit, for one posting or a thousand.

The story of a post: lock the accounts in id order; find which keys are already applied; let credit
that is past its time expire; compute the rest in plain Python (`billing/ledger/account_book.py`);
write everything in bulk with the keys in sorted order. The transaction that the caller opened makes
it all happen, or none of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.calendar import end_of_local_day
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.ledger import queries as ledger_rows
from billing.ledger import writes as ledger_writes
from billing.ledger.account_book import AccountBook, Charge, Entry, Lot, Writes
from billing.ledger.errors import (
    InsufficientCredit,
    InvalidPosting,
    NothingToWriteOff,
    ReversalTooLarge,
    SecondPost,
    UnknownCharge,
)
from billing.ledger.kinds import KIND_RULES, Kind
from billing.ledger.posting import Outcome, Posting, PostingResult, check
from billing.ledger.queries import AppliedRow
from db.errors import DatabaseBusy
from errors import PermanentError

EXPIRY_ACTOR = "system:expiry"

_ATTEMPTS = 5
"""How often a post computes anew because another transaction wrote one of its keys meanwhile."""

_POSTED = "billing.ledger.posted"


def post(
    session: Session,
    postings: Sequence[Posting],
    *,
    locked: dict[str, AccountBook] | None = None,
    credits_are_new: bool = False,
) -> list[PostingResult]:
    """Apply `postings` in their order and return one result for each, in the same order.

    A posting whose key was applied before returns the first result (`repeated`). Refusals are
    results, so that one bad posting does not stop the others: `UnknownAccount`,
    `InsufficientCredit`, `IdempotencyConflict`, for refunds and write-offs `UnknownCharge`,
    `ReversalTooLarge`, `NothingToWriteOff`, and `InvalidPosting` for credit whose time is up
    already (repeated later it is a repeat); `result.applied_or_raise()` raises them. A charge can
    be given back from the next transaction on.

    `locked` are books that `lock` or `lock_account_of_hold` returned, by reference, for postings to
    these accounts alone. `credits_are_new`: the caller knows of no key that it was applied, and all
    of them bring credit; so none is looked up, and one that was applied after all is found as the
    rows go in, for the price of computing again.

    Raises `InvalidPosting` for a posting that no ledger could take and `SecondPost` where the
    transaction has posted before: nothing is then applied. Lock waits and deadlocks surface as
    `TransientError` from `db.session.transaction`.
    """
    for posting in postings:
        check(posting)
    hashes = [posting.request_hash() for posting in postings]
    _begin(session)
    books = locked
    if books is None:
        books = ledger_rows.lock_accounts(session, {posting.account for posting in postings})
    new = credits_are_new and all(p.amount > 0 and p.reverses is None for p in postings)
    return _run(session, postings, hashes, books, look_up=not new)[0]


def expire(session: Session, accounts: set[str]) -> dict[str, AccountBook]:
    """Post the expiry of every lot of `accounts` that is past its time, as `post` does first.

    Never touches what open holds need. Counts as the transaction's one post. Returns the locked
    accounts by reference: their balance, what is held and what is available are as of now.
    """
    _begin(session)
    books = ledger_rows.lock_accounts(session, accounts)
    if not ledger_rows.has_lots_past(session, clock.now(), books.values()):
        return books
    return _run(session, [], [], books)[1]


def lock(session: Session, account_ids: Iterable[int]) -> dict[str, AccountBook]:
    """Lock accounts by their ids, as `post` would, and return a book for each, by reference."""
    return ledger_rows.lock_accounts_of_ids(session, account_ids)


def lock_account_of_hold(session: Session, hold_id: int) -> AccountBook | None:
    """Lock the account of a hold, as `post` would; None: there is no such hold."""
    return ledger_rows.lock_account_of_hold(session, hold_id)


def reversible(session: Session, charge_key: str) -> int:
    """Return what can still be given back of a charge, in credits; its account must be locked.

    That is what it took, less what was given back before and what a write-off paid of it.
    """
    charge = ledger_rows.load_charges(session, [charge_key], {}).get(charge_key)
    return charge.left if charge else 0


def _begin(session: Session) -> None:
    if session.info.get(_POSTED) is session.get_transaction():
        raise SecondPost
    session.info[_POSTED] = session.get_transaction()
    # What the caller changed by objects goes before what is written past them.
    session.flush()


def _run(
    session: Session,
    postings: Sequence[Posting],
    hashes: Sequence[bytes],
    books: dict[str, AccountBook],
    *,
    look_up: bool = True,
) -> tuple[list[PostingResult], dict[str, AccountBook]]:
    # Taken after the lock: an account's rows are written in the order of their times.
    now = clock.now()
    for _ in range(_ATTEMPTS):
        try:
            return _Attempt(session, books, now, look_up).run(postings, hashes), books
        except ledger_writes.KeyTaken:
            # Another transaction applied one of the keys to an account that is not ours, so
            # that no lock kept us apart: look again, now that it has committed.
            books, look_up = ledger_rows.lock_accounts(session, set(books)), True
    raise DatabaseBusy("other transactions kept writing the same idempotency keys; try again")


@dataclass(slots=True)
class _Attempt:
    """One computation of a post, from what is applied now to rows written."""

    session: Session
    books: dict[str, AccountBook]
    now: datetime
    look_up: bool
    """Ask which keys are applied before anything is computed."""
    writes: Writes = field(default_factory=Writes)

    def run(self, postings: Sequence[Posting], hashes: Sequence[bytes]) -> list[PostingResult]:
        keys = {posting.idempotency_key for posting in postings}
        comes_again = len(keys) < len(postings)
        applied = ledger_rows.find_applied(self.session, keys) if keys and self.look_up else {}
        fresh = [
            p for p in postings if p.idempotency_key not in applied and p.account in self.books
        ]
        touched = {p.account for p in fresh} if postings else set(self.books)
        lots = ledger_rows.load_lots_and_debts(self.session, [self.books[r] for r in touched])
        charges = ledger_rows.load_charges(
            self.session, {p.reverses for p in fresh if p.reverses is not None}, lots
        )
        for charge in charges.values():
            if charge.account in self.books:
                self.books[charge.account].reversible[charge.id] = charge
        named = ledger_rows.lots_of_keys(
            self.session, {key for p in fresh for key in p.takes_first}
        )
        expiries = list(self._expiries(touched))
        ids = iter(ledger_rows.next_transaction_ids(self.session, len(expiries) + len(fresh)))
        lot_ids = iter(ledger_rows.next_lot_ids(self.session, sum(p.amount > 0 for p in fresh)))
        for expiry in expiries:
            entry = Entry(expiry, expiry.request_hash(), next(ids), 0, self.now)
            self.books[expiry.account].apply(entry, self.writes)
        results = []
        for posting, request_hash in zip(postings, hashes, strict=True):
            before = applied.get(posting.idempotency_key)
            if before is not None:
                results.append(_repeated_or_conflict(posting, request_hash, before))
                continue
            book = self.books.get(posting.account)
            if book is None:
                results.append(_refused(UnknownAccount(posting.account)))
                continue
            lot_id = next(lot_ids) if posting.amount > 0 else 0
            entry = Entry(posting, request_hash, next(ids), lot_id, self.now)
            entry.takes_first = tuple(named[key] for key in posting.takes_first if key in named)
            result = self._apply(book, entry, charges)
            if comes_again and result.outcome is Outcome.APPLIED:
                applied[posting.idempotency_key] = AppliedRow.of(
                    posting, request_hash, result.transaction_id, book.version, book.balance
                )
            results.append(result)
        ledger_writes.write(self.session, self.writes, self.books.values(), now=self.now)
        return results

    def _apply(self, book: AccountBook, entry: Entry, charges: dict[str, Charge]) -> PostingResult:
        posting = entry.posting
        if posting.expires_at is not None and posting.expires_at <= self.now:
            return _refused(InvalidPosting("expires_at", "must be in the future"))
        if posting.reverses is not None:
            charge = charges.get(posting.reverses)
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
            book.apply(entry, self.writes)
        except (
            InsufficientCredit, InvalidPosting, NothingToWriteOff, ReversalTooLarge,
        ) as error:  # fmt: skip
            return _refused(error, account_id=book.id)
        return PostingResult(
            Outcome.APPLIED, entry.transaction_id, book.version, book.balance, book.id
        )

    def _expiries(self, accounts: set[str]) -> Iterator[Posting]:
        expired = [
            (book, lot, gone, version)
            for book in (self.books[ref] for ref in sorted(accounts))
            for version, (lot, gone) in enumerate(book.expired_lots(self.now), book.version + 1)
        ]
        if not expired:
            return
        keys = ledger_rows.keys_of_lots(self.session, [lot.id for _, lot, _, _ in expired])
        for book, lot, gone, version in expired:
            yield _expiry(book.ref, lot, gone, f"lot:{keys[lot.id]}:expiry:{version}")


def _expiry(account: str, lot: Lot, gone: int, key: str) -> Posting:
    return Posting(
        account=account,
        amount=-gone,
        kind=Kind.EXPIRY,
        # The version of the row makes the key its own: a lot expires in steps while holds need it,
        # and again where a host whose clock lags gave credit back to it.
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
