"""The ledger: `post` is the only writer of credit, for one posting or a thousand.

The story of a post: lock the accounts in id order; find which keys are already applied; compute
the rest in plain Python (`billing/account_book.py`); write everything in bulk with the keys in
sorted order. The transaction that the caller opened makes it all happen, or none of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg2
from sqlalchemy.orm import Session

import clock
from billing import ledger_rows
from billing.account_book import AccountBook, Writes
from billing.errors import IdempotencyConflict, InsufficientCredit, SecondPost, UnknownAccount
from billing.ledger_rows import AppliedRow
from billing.postings import Outcome, Posting, PostingResult, check
from db.errors import DatabaseBusy

_ATTEMPTS = 5
"""How often a post computes anew because another transaction wrote one of its keys meanwhile."""

_POSTED = "billing.ledger.posted"


def post(session: Session, postings: Sequence[Posting]) -> list[PostingResult]:
    """Apply `postings` in their order and return one result for each, in the same order.

    A posting whose key was applied before returns the first result (`repeated`). Refusals are
    results, so that one bad posting does not stop the others: `UnknownAccount`,
    `InsufficientCredit`, `IdempotencyConflict`; `result.applied_or_raise()` raises them.

    Raises `InvalidPosting` for a posting that no ledger could take and `SecondPost` where the
    transaction has posted before: nothing is then applied. Lock waits and deadlocks surface as
    `TransientError` from `db.session.transaction`.
    """
    for posting in postings:
        check(posting)
    if session.info.get(_POSTED) is session.get_transaction():
        raise SecondPost
    session.info[_POSTED] = session.get_transaction()
    if not postings:
        return []

    hashes = [posting.request_hash() for posting in postings]
    books = ledger_rows.lock_accounts(session, {posting.account for posting in postings})
    # Taken after the lock: an account's rows are written in the order of their times.
    now = clock.now()
    for _ in range(_ATTEMPTS):
        try:
            with session.begin_nested():
                return _Attempt(session, books, now).run(postings, hashes)
        except psycopg2.errors.UniqueViolation as error:
            if error.diag.constraint_name != ledger_rows.KEY_CONSTRAINT:
                raise
            # Another transaction applied one of the keys to an account that is not ours, so
            # that no lock kept us apart: look again, now that it has committed.
            books = ledger_rows.lock_accounts(session, set(books))
    raise DatabaseBusy("other transactions kept writing the same idempotency keys; try again")


@dataclass(slots=True)
class _Attempt:
    """One computation of a post, from what is applied now to rows written."""

    session: Session
    books: dict[str, AccountBook]
    now: datetime

    def run(self, postings: Sequence[Posting], hashes: Sequence[bytes]) -> list[PostingResult]:
        applied = ledger_rows.find_applied(
            self.session, {posting.idempotency_key for posting in postings}
        )
        fresh = [
            p for p in postings if p.idempotency_key not in applied and p.account in self.books
        ]
        ledger_rows.load_lots_and_debts(
            self.session, [self.books[ref] for ref in {p.account for p in fresh}]
        )
        transaction_ids = iter(ledger_rows.next_transaction_ids(self.session, len(fresh)))
        lot_ids = iter(ledger_rows.next_lot_ids(self.session, sum(p.amount > 0 for p in fresh)))
        writes = Writes()
        results = []
        for posting, request_hash in zip(postings, hashes, strict=True):
            before = applied.get(posting.idempotency_key)
            if before is not None:
                results.append(_repeated_or_conflict(posting, request_hash, before))
                continue
            book = self.books.get(posting.account)
            if book is None:
                results.append(
                    PostingResult(Outcome.REFUSED, error=UnknownAccount(posting.account))
                )
                continue
            transaction_id = next(transaction_ids)
            try:
                book.apply(
                    posting,
                    request_hash,
                    transaction_id=transaction_id,
                    lot_id=next(lot_ids) if posting.amount > 0 else 0,
                    now=self.now,
                    writes=writes,
                )
            except InsufficientCredit as error:
                results.append(PostingResult(Outcome.REFUSED, account_id=book.id, error=error))
                continue
            applied[posting.idempotency_key] = AppliedRow.of(
                posting, request_hash, transaction_id, book.version, book.balance
            )
            results.append(
                PostingResult(Outcome.APPLIED, transaction_id, book.version, book.balance, book.id)
            )
        ledger_rows.write(self.session, writes, self.books.values(), now=self.now)
        return results


def _repeated_or_conflict(
    posting: Posting, request_hash: bytes, before: AppliedRow
) -> PostingResult:
    if before.request_hash == request_hash:
        return PostingResult(
            Outcome.REPEATED, before.transaction_id, before.version, before.balance_after
        )
    error = IdempotencyConflict(posting.idempotency_key, before.differences(posting))
    return PostingResult(Outcome.REFUSED, error=error)
