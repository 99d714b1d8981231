"""Holds: credit set aside now for a charge whose amount is known later.

place -> capture (part or all; the rest is released) | void | expire. A hold reduces what is
available at once. Every step leaves an immutable row in `hold_events`. The account is locked before
the hold, as everywhere; the charge of a capture goes through `billing/ledger/writer.py` like any
other.
"""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import accounts, ledger
from billing.credit import hold_audit, hold_expiry, hold_table
from billing.credit.errors import HoldFinished, InvalidHold, UnknownHold
from billing.credit.hold_request import HoldRequest, check_step, may_be_id
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.ledger import AccountBook, InsufficientCredit, Kind, Outcome, Posting
from db.models import Account, Hold


def place(
    session: Session,
    *,
    account: str,
    amount: int,
    idempotency_key: str,
    actor: str,
    expires_in: timedelta | None,
    kind: Kind = Kind.USAGE,
    description: str = "",
) -> Hold:
    """Set `amount` credits aside and return the hold; `expires_in` None: until it is finished.

    The same key with the same account, amount, life, kind and description returns the first hold,
    whatever its state now. Raises `InvalidHold`, `UnknownAccount`, `InsufficientCredit` or
    `IdempotencyConflict`. Counts as the transaction's one post: due credit expires first.
    """
    request = HoldRequest(account, amount, idempotency_key, actor, expires_in, kind, description)
    request.check()
    hold_expiry.end_due_of(session, account)
    book = _expire_and_lock(session, account)
    now = clock.now()
    placed = None
    if amount <= book.available:
        placed = _write(session, request, book, amount, now)
    if placed is None:
        before = hold_table.of_key(session, idempotency_key)
        if before is None:
            raise InsufficientCredit(account, needed=amount, available=book.available)
        _require_same(session, request, before)
        return before
    hold_audit.record(session, placed, account, before=None)
    return placed


def reserve(
    session: Session,
    *,
    account: str,
    at_most: int,
    idempotency_key: str,
    actor: str,
    kind: Kind,
    description: str = "",
) -> Hold | None:
    """Set aside up to `at_most` credits of the balance until the hold is finished; None: none left.

    For credit that must not be spent meanwhile, however little is left. It takes nothing that other
    holds need, and no overdraft. Raises `InvalidHold`, `UnknownAccount`, or `IdempotencyConflict`
    for a key that was used before. Counts as the transaction's one post.
    """
    request = HoldRequest(account, at_most, idempotency_key, actor, None, kind, description)
    request.check()
    book = _expire_and_lock(session, account)
    amount = min(at_most, book.available - book.overdraft_limit)
    if amount <= 0:
        return None
    placed = _write(session, request, book, amount, clock.now())
    if placed is None:
        raise IdempotencyConflict(idempotency_key, {"hold": ("one", "another")})
    hold_audit.record(session, placed, account, before=None)
    return placed


def capture(
    session: Session,
    *,
    hold_id: int,
    idempotency_key: str,
    actor: str,
    amount: int | None = None,
) -> Hold:
    """Charge `amount` (None: all) of what is held, release the rest, and return the hold.

    The same key and amount again returns the outcome. Raises `UnknownHold`; `InvalidHold` for an
    amount beyond the hold; `HoldFinished` if another request was faster or the time is up;
    `InsufficientCredit` if a correction has taken what was held; `IdempotencyConflict`. Posts.
    """
    hold, book = _lock(session, hold_id, idempotency_key, actor)
    asked = hold.amount if amount is None else amount
    if type(asked) is not int or not 1 <= asked <= hold.amount:
        raise InvalidHold("amount", f"must be a whole number from 1 to {hold.amount}")
    if _is_repeat(hold, "captured", idempotency_key):
        if asked != hold.captured:
            raise IdempotencyConflict(idempotency_key, {"amount": (hold.captured, asked)})
        return hold
    charge = _charge_of(hold, book.ref, asked, actor)
    posted = ledger.post_to_locked(session, [book], [charge])[0].applied_or_raise()
    if posted.outcome is not Outcome.APPLIED:
        # This hold was open, so somebody else posted under its key.
        raise IdempotencyConflict(charge.idempotency_key, {"hold": ("none", "it")})
    return hold_table.end_captured(
        session,
        hold_id,
        captured=asked,
        transaction_id=posted.transaction_id,
        finish_key=idempotency_key,
        actor=actor,
        now=clock.now(),
    )


def void(session: Session, *, hold_id: int, idempotency_key: str, actor: str) -> Hold:
    """Release all that is held and return the hold; the same key again returns the outcome.

    Raises `UnknownHold`, `InvalidHold` or `HoldFinished`.
    """
    hold, book = _lock(session, hold_id, idempotency_key, actor)
    if _is_repeat(hold, "voided", idempotency_key):
        return hold
    return _end_voided(session, hold, book.ref, idempotency_key, actor, frees=True)


def hand_over(session: Session, *, hold_id: int, idempotency_key: str, actor: str) -> int:
    """End a hold for a posting of the caller's, and return the credits that it must release.

    After `void`, what was held could expire before it is taken; here it cannot. Raises
    `UnknownHold`, `InvalidHold` or `HoldFinished`.
    """
    hold, book = _lock(session, hold_id, idempotency_key, actor)
    if _is_repeat(hold, "voided", idempotency_key):
        return 0
    return _end_voided(session, hold, book.ref, idempotency_key, actor, frees=False).amount


def get(session: Session, hold_id: int) -> Hold:
    """Return a hold; raises `UnknownHold`."""
    hold = session.get(Hold, hold_id) if may_be_id(hold_id) else None
    if hold is None:
        raise UnknownHold(hold_id)
    return hold


def find_in_reach(
    session: Session, hold_id: int, *, kind: Kind, product: str | None, account_id: int | None
) -> tuple[Hold, Account] | None:
    """Return a hold of `kind` and its account, read at one moment; None if it is out of reach."""
    if not may_be_id(hold_id):
        return None
    row = session.execute(
        select(Hold, Account)
        .join(Account, Account.id == Hold.account_id)
        .where(Hold.id == hold_id, Hold.kind == kind.value, accounts.in_reach(product, account_id))
    ).one_or_none()
    return (row[0], row[1]) if row else None


def state_now(hold: Hold) -> str:
    """Return a hold's state: past its time it is expired, even before the sweep ends it."""
    ended = hold.expires_at is not None and hold.expires_at <= clock.now()
    return "expired" if hold.state == "open" and ended else hold.state


def _expire_and_lock(session: Session, account: str) -> AccountBook:
    book = ledger.expire_lots(session, {account}).get(account)
    if book is None:
        raise UnknownAccount(account)
    return book


def _write(
    session: Session, request: HoldRequest, book: AccountBook, amount: int, now: datetime
) -> Hold | None:
    return hold_table.place(
        session,
        account_id=book.id,
        amount=amount,
        idempotency_key=request.idempotency_key,
        kind=request.kind,
        actor=request.actor,
        description=request.description,
        now=now,
        expires_at=now + request.expires_in if request.expires_in is not None else None,
    )


def _require_same(session: Session, request: HoldRequest, before: Hold) -> None:
    """Raise `IdempotencyConflict` if the hold of the same key had another request."""
    account = session.get_one(Account, before.account_id).ref
    differences = request.differences(before, account)
    if differences:
        raise IdempotencyConflict(before.idempotency_key, differences)


def _lock(session: Session, hold_id: int, key: str, actor: str) -> tuple[Hold, AccountBook]:
    """Lock the hold's account, then the hold, and return both as they are now."""
    check_step(key, actor)
    book = ledger.lock_account_of_hold(session, hold_id) if may_be_id(hold_id) else None
    if book is None:
        raise UnknownHold(hold_id)
    return hold_table.lock(session, hold_id), book


def _is_repeat(hold: Hold, state: str, key: str) -> bool:
    """Return whether this request was already done; raise if the hold has ended otherwise."""
    if hold.state == "open":
        now = state_now(hold)
        if now != "open":
            raise HoldFinished(hold.id, now)
        return False
    if hold.state == state and hold.finish_key == key:
        return True
    raise HoldFinished(hold.id, hold.state)


def _charge_of(hold: Hold, account: str, amount: int, actor: str) -> Posting:
    return Posting(
        account=account,
        amount=-amount,
        kind=Kind(hold.kind),
        idempotency_key=f"hold:{hold.idempotency_key}:capture",
        actor=actor,
        description=hold.description,
        releases=hold.amount,
    )


def _end_voided(
    session: Session, hold: Hold, account: str, key: str, actor: str, *, frees: bool
) -> Hold:
    ended = hold_table.end_voided(
        session, hold, frees=frees, finish_key=key, actor=actor, now=clock.now()
    )
    hold_audit.record(session, ended, account, before="open")
    return ended
