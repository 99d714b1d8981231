"""The ledger's door: `post` is the only writer of credit, for one posting or a thousand.

A post locks the accounts in id order, finds which keys are already applied, lets due credit
expire, applies the postings in plain Python and writes everything in bulk
(`billing/ledger/attempt.py`). The caller's transaction commits all of it or nothing.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

import clock
from billing.ledger import queries, writes
from billing.ledger.account_book import AccountBook
from billing.ledger.attempt import Attempt
from billing.ledger.errors import SecondPost
from billing.ledger.posting import Posting, PostingResult, PostingResults, check_posting
from db.errors import DatabaseBusy

_ATTEMPTS = 5
"""How often a post computes anew because another transaction wrote one of its keys meanwhile."""

_POSTED = "billing.ledger.posted"


def post(session: Session, postings: Sequence[Posting]) -> PostingResults:
    """Lock the accounts, apply `postings` in their order, and return their results in that order.

    A posting whose key is already applied returns the first result (`repeated`). A refusal is a
    result too, so that one bad posting does not stop the others; `result.applied_or_raise()`
    raises it. Refusals: `UnknownAccount`, `InsufficientCredit`, `IdempotencyConflict`; for refunds
    and write-offs `UnknownCharge`, `ReversalTooLarge`, `NothingToWriteOff`; `InvalidPosting` for
    new credit whose time is already up. A charge can be reversed from the next transaction on.

    Applies nothing and raises `InvalidPosting` if a posting can never be valid, `SecondPost` if
    the transaction has already posted. Lock waits and deadlocks surface as `TransientError` from
    `db.session.transaction`.
    """
    requests = _checked(postings)
    _begin(session)
    books = queries.lock_accounts(session, {posting.account for posting in postings})
    return PostingResults(postings, _run(session, books, requests)[0])


def post_to_locked(
    session: Session, books: Iterable[AccountBook], postings: Sequence[Posting]
) -> PostingResults:
    """Post as `post` does, on accounts that the caller has locked already.

    `books` come from `lock_accounts` or `lock_account_of_hold`; every posting is for one of them.
    """
    requests = _checked(postings)
    _begin(session)
    return PostingResults(postings, _run(session, _by_ref(books), requests)[0])


def post_new_credit(
    session: Session, books: Iterable[AccountBook], postings: Sequence[Posting]
) -> PostingResults:
    """Post credit as `post_to_locked` does, under keys that are most likely new.

    No key is looked up first. One that is already applied is found when the rows are written, and
    everything is computed again: the result is the same, one statement is saved.
    """
    requests = _checked(postings)
    _begin(session)
    # A charge that was applied before could be refused for lack of credit before its key is found.
    look_up = any(p.amount < 0 or p.reverses is not None for p in postings)
    return PostingResults(postings, _run(session, _by_ref(books), requests, look_up=look_up)[0])


def expire_lots(session: Session, accounts: set[str]) -> dict[str, AccountBook]:
    """Post the expiry of every lot of `accounts` that is past its time, as `post` does first.

    Credit that open holds need stays. Counts as the transaction's one post. Returns the locked
    accounts that exist, by reference, with what they have now.
    """
    _begin(session)
    books = queries.lock_accounts(session, accounts)
    if not queries.has_due_lots(session, clock.now(), books.values()):
        return books
    return _run(session, books, [])[1]


def lock_accounts(session: Session, account_ids: Iterable[int]) -> dict[str, AccountBook]:
    """Lock accounts in id order, as `post` does, and return their books by reference."""
    return queries.lock_accounts_of_ids(session, account_ids)


def lock_account_of_hold(session: Session, hold_id: int) -> AccountBook | None:
    """Lock the account of a hold, as `post` does; return None if there is no such hold."""
    return queries.lock_account_of_hold(session, hold_id)


def reversible_credits(session: Session, charge_key: str) -> int:
    """Return the credits that are left of a charge for reversals; its account must be locked.

    That is what it took, less earlier reversals and what write-offs paid of it.
    """
    charge = queries.load_charges(session, [charge_key], {}).get(charge_key)
    return charge.left if charge else 0


def _checked(postings: Sequence[Posting]) -> list[tuple[Posting, bytes]]:
    """Return each posting with its request hash, computed before anything is locked."""
    for posting in postings:
        check_posting(posting)
    return [(posting, posting.request_hash()) for posting in postings]


def _begin(session: Session) -> None:
    if session.info.get(_POSTED) is session.get_transaction():
        raise SecondPost
    session.info[_POSTED] = session.get_transaction()
    # The ledger writes past the session's objects: their pending changes must be written first.
    session.flush()


def _by_ref(books: Iterable[AccountBook]) -> dict[str, AccountBook]:
    return {book.ref: book for book in books}


def _run(
    session: Session,
    books: dict[str, AccountBook],
    requests: Sequence[tuple[Posting, bytes]],
    *,
    look_up: bool = True,
) -> tuple[list[PostingResult], dict[str, AccountBook]]:
    # Read after the lock, so that an account's rows are in the order of their times.
    now = clock.now()
    for _ in range(_ATTEMPTS):
        try:
            return Attempt(session, books, now).run(requests, look_up=look_up), books
        except writes.KeyTaken:
            # Another transaction applied one of the keys to an account that this one has not
            # locked. It has committed by now: look the keys up.
            books, look_up = queries.lock_accounts(session, set(books)), True
    raise DatabaseBusy("other transactions kept writing the same idempotency keys; try again")
