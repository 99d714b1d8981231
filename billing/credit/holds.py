"""Holds: credit set aside now for a charge whose amount is known later.

place -> capture (part or whole; the rest is released) | void | expire. A hold reduces what is
available at once. Every step leaves an immutable `hold_events` row. The account is locked before
the hold, as everywhere; the charge of a capture goes through `billing/ledger/writer.py` like any
other.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

import clock
from billing import accounts, audit, ledger
from billing.credit import hold_statements as hold_rows
from billing.credit.errors import HoldFinished, InvalidHold, UnknownHold
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.ledger import KIND_RULES, AccountBook, InsufficientCredit, Kind, Outcome, Posting
from billing.money import MAX_CREDITS
from billing.text import DESCRIPTION_MAX_LENGTH, ID_MAX_LENGTH, REF_MAX_LENGTH, problem_with
from db.models import Account, Hold

KEY_MAX_LENGTH = 200
"""Shorter than a ledger key, which is made of it: `hold:{key}:capture`."""
LONGEST = timedelta(days=366)
EXPIRY_ACTOR = "system:expiry"


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
    in whatever state it is by now. Raises `InvalidHold`, `UnknownAccount`, `InsufficientCredit` or
    `IdempotencyConflict`. Counts as the transaction's one post: what has expired goes first.
    """
    _check(account, amount, idempotency_key, actor, expires_in, kind, description)
    end_due_of(session, account)
    book = ledger.expire(session, {account}).get(account)
    if book is None:
        raise UnknownAccount(account)
    now = clock.now()
    placed = None
    if amount <= book.available:
        placed = hold_rows.place(
            session,
            account_id=book.id,
            amount=amount,
            idempotency_key=idempotency_key,
            kind=kind,
            actor=actor,
            description=description,
            now=now,
            expires_at=now + expires_in if expires_in is not None else None,
        )
    if placed is None:
        before = hold_rows.of_key(session, idempotency_key)
        if before is None:
            raise InsufficientCredit(account, needed=amount, available=book.available)
        _require_same(session, before, account, amount, expires_in, kind, description)
        return before
    _audit(session, placed, account, before=None)
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
    """Set aside what the balance has of `at_most` credits, until it is finished; None: nothing.

    For credit that must not be spent meanwhile, however little is left of it: never what other
    holds need, and never the overdraft. Raises `InvalidHold`, `UnknownAccount`, or
    `IdempotencyConflict` for a key that was used before. Counts as the transaction's one post.
    """
    _check(account, at_most, idempotency_key, actor, None, kind, description)
    book = ledger.expire(session, {account}).get(account)
    if book is None:
        raise UnknownAccount(account)
    amount = min(at_most, book.available - book.overdraft_limit)
    if amount <= 0:
        return None
    placed = hold_rows.place(
        session,
        account_id=book.id,
        amount=amount,
        idempotency_key=idempotency_key,
        kind=kind,
        actor=actor,
        description=description,
        now=clock.now(),
        expires_at=None,
    )
    if placed is None:
        raise IdempotencyConflict(idempotency_key, {"hold": ("one", "another")})
    _audit(session, placed, account, before=None)
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

    The same key and amount again returns the outcome; a key names a request for this hold. Raises
    `UnknownHold`, `InvalidHold` for an amount beyond the hold, `HoldFinished` where another
    request was faster or time is up, `InsufficientCredit` where a correction has taken what was
    held, or `IdempotencyConflict`. Posts.
    """
    hold, book = _lock(session, hold_id, idempotency_key, actor)
    asked = hold.amount if amount is None else amount
    if type(asked) is not int or not 1 <= asked <= hold.amount:
        raise InvalidHold("amount", f"must be a whole number from 1 to {hold.amount}")
    if _is_repeat(hold, "captured", idempotency_key):
        if asked != hold.captured:
            raise IdempotencyConflict(idempotency_key, {"amount": (hold.captured, asked)})
        return hold
    posted = ledger.post(
        session,
        [
            Posting(
                account=book.ref,
                amount=-asked,
                kind=Kind(hold.kind),
                idempotency_key=f"hold:{hold.idempotency_key}:capture",
                actor=actor,
                description=hold.description,
                releases=hold.amount,
            )
        ],
        locked={book.ref: book},
    )[0].applied_or_raise()
    if posted.outcome is not Outcome.APPLIED:
        # An open hold was never captured: whoever posted under its key, it was not this hold.
        raise IdempotencyConflict(f"hold:{hold.idempotency_key}:capture", {"hold": ("none", "it")})
    return hold_rows.end_captured(
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
    """End a hold for a posting of the caller's, and return the credits that this must release.

    Unlike after `void`, what is held cannot expire before it is taken. Raises `UnknownHold`,
    `InvalidHold` or `HoldFinished`.
    """
    hold, book = _lock(session, hold_id, idempotency_key, actor)
    if _is_repeat(hold, "voided", idempotency_key):
        return 0
    return _end_voided(session, hold, book.ref, idempotency_key, actor, frees=False).amount


def expire_due(session: Session, *, limit: int = 1_000) -> int:
    """End the open holds whose time is up, on up to `limit` accounts; return how many ended.

    Called by the sweep until none is left. An account that somebody else has locked is left for
    the next turn: it must not keep the others waiting.
    """
    return _ended(
        session, hold_rows.end_due(session, actor=EXPIRY_ACTOR, now=clock.now(), limit=limit)
    )


def end_due_of(session: Session, account: str) -> int:
    """End the open holds of one account whose time is up; return how many ended.

    For who is about to spend: what is free again must not wait for the sweep. Before the
    transaction's post, which lets the credit expire that they had kept alive.
    """
    return _ended(
        session,
        hold_rows.end_due_of(session, account, actor=EXPIRY_ACTOR, now=clock.now()),
    )


def _ended(session: Session, ended: Sequence[Row[int, str, int, datetime]]) -> int:
    audit.record_all(
        session,
        [
            audit.Change(
                f"hold:{id_}", "hold.expired", {"state": "open"}, _told(ref, amount, at, "expired")
            )
            for id_, ref, amount, at in ended
        ],
    )
    return len(ended)


def find(session: Session, hold_id: int) -> Hold:
    """Return a hold as it is; raises `UnknownHold`."""
    hold = session.get(Hold, hold_id) if _may_be(hold_id) else None
    if hold is None:
        raise UnknownHold(hold_id)
    return hold


def find_in_reach(
    session: Session, hold_id: int, *, kind: Kind, product: str | None, account_id: int | None
) -> tuple[Hold, Account] | None:
    """Return a hold of `kind` and its account, of one moment; None where it is out of reach."""
    if not _may_be(hold_id):
        return None
    row = session.execute(
        select(Hold, Account)
        .join(Account, Account.id == Hold.account_id)
        .where(Hold.id == hold_id, Hold.kind == kind.value, accounts.reach(product, account_id))
    ).one_or_none()
    return (row[0], row[1]) if row else None


def state_now(hold: Hold) -> str:
    """Return a hold's state: past its time it is expired, if the sweep has not come by yet."""
    ended = hold.expires_at is not None and hold.expires_at <= clock.now()
    return "expired" if hold.state == "open" and ended else hold.state


def _check(
    account: str,
    amount: int,
    key: str,
    actor: str,
    expires_in: timedelta | None,
    kind: Kind,
    description: str,
) -> None:
    problems = {
        "account": problem_with(account, max_length=REF_MAX_LENGTH),
        "idempotency_key": problem_with(key, max_length=KEY_MAX_LENGTH),
        "actor": problem_with(actor, max_length=ID_MAX_LENGTH),
        "description": problem_with(
            description, max_length=DESCRIPTION_MAX_LENGTH, may_be_empty=True
        ),
    }
    if type(amount) is not int or not 1 <= amount <= MAX_CREDITS:
        problems["amount"] = f"must be a whole number from 1 to {MAX_CREDITS}"
    if type(kind) is not Kind or KIND_RULES[kind].reversed_by is None:
        problems["kind"] = f"{kind!r} is not a kind of charge"
    if expires_in is not None and (
        not isinstance(expires_in, timedelta) or not timedelta(0) < expires_in <= LONGEST
    ):
        problems["expires_in"] = f"must be more than nothing and at most {LONGEST.days} days"
    _refuse_any(problems)


def _refuse_any(problems: dict[str, str | None]) -> None:
    for field, problem in problems.items():
        if problem:
            raise InvalidHold(field, problem)


def _require_same(
    session: Session,
    hold: Hold,
    account: str,
    amount: int,
    expires_in: timedelta | None,
    kind: Kind,
    description: str,
) -> None:
    """Raise `IdempotencyConflict` where the hold of the same key was asked for otherwise."""
    asked = {
        "account": account,
        "amount": amount,
        "expires_in": expires_in,
        "kind": kind.value,
        "description": description,
    }
    before = {
        "account": session.get_one(Account, hold.account_id).ref,
        "amount": hold.amount,
        "expires_in": hold.expires_at - hold.created_at if hold.expires_at else None,
        "kind": hold.kind,
        "description": hold.description,
    }
    differences = {
        field: (before[field], asked[field]) for field in asked if before[field] != asked[field]
    }
    if differences:
        raise IdempotencyConflict(hold.idempotency_key, differences)


def _lock(session: Session, hold_id: int, key: str, actor: str) -> tuple[Hold, AccountBook]:
    """Lock the hold's account, then the hold, and return both as they are now."""
    _refuse_any(
        {
            "idempotency_key": problem_with(key, max_length=KEY_MAX_LENGTH),
            "actor": problem_with(actor, max_length=ID_MAX_LENGTH),
        }
    )
    book = ledger.lock_account_of_hold(session, hold_id) if _may_be(hold_id) else None
    if book is None:
        raise UnknownHold(hold_id)
    return hold_rows.lock(session, hold_id), book


def _may_be(hold_id: int) -> bool:
    return type(hold_id) is int and 0 < hold_id < 2**63


def _is_repeat(hold: Hold, state: str, key: str) -> bool:
    """Tell whether this very request was done before; raise where the hold ended otherwise."""
    if hold.state == "open":
        now = state_now(hold)
        if now != "open":
            raise HoldFinished(hold.id, now)
        return False
    if hold.state == state and hold.finish_key == key:
        return True
    raise HoldFinished(hold.id, hold.state)


def _end_voided(
    session: Session, hold: Hold, account: str, key: str, actor: str, *, frees: bool
) -> Hold:
    ended = hold_rows.end_voided(
        session, hold, frees=frees, finish_key=key, actor=actor, now=clock.now()
    )
    _audit(session, ended, account, before="open")
    return ended


def _audit(session: Session, hold: Hold, account: str, *, before: str | None) -> None:
    action = "hold.placed" if before is None else f"hold.{hold.state}"
    after = _told(account, hold.amount, hold.expires_at, hold.state)
    audit.record(
        session,
        action,
        f"hold:{hold.id}",
        before={"state": before} if before else None,
        after=after,
    )


def _told(account: str, amount: int, expires_at: datetime | None, state: str) -> dict[str, object]:
    ends = expires_at.astimezone(UTC).isoformat() if expires_at else None
    return {"state": state, "account": account, "amount": amount, "expires_at": ends}
