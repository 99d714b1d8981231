"""What an operator may do to an account by hand: credit, adjust, write off, give a charge back.

An idempotency key must not begin like one that a rule makes (`lead:`): it would stand in the
rule's way.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from billing.errors import InvalidPosting, ReversalTooLarge, UnknownCharge
from billing.kinds import KIND_RULES, Kind
from billing.ledger import post
from billing.postings import Posting, PostingResult
from billing.text import DESCRIPTION_MAX_LENGTH, KEY_MAX_LENGTH, problem_with
from db.models import Account, CreditTransaction

RESERVED_KEY_PREFIXES = (
    "lead:", "lot:", "hold:", "dispute:", "grant:", "razorpay:", "stripe:",
)  # fmt: skip
"""What the keys of rules begin with."""


def credit(
    session: Session,
    *,
    account: str,
    amount: int,
    reason: str,
    actor: str,
    idempotency_key: str,
) -> PostingResult:
    """Give `amount` credits of goodwill; with the same key and content, once.

    Raises `InvalidPosting`, `UnknownAccount` or `IdempotencyConflict`.
    """
    if type(amount) is int and amount <= 0:
        raise InvalidPosting("amount", f"must be positive, not {amount}")
    return _post(session, Kind.GOODWILL, account, amount, reason, actor, idempotency_key)


def adjust(
    session: Session,
    *,
    account: str,
    amount: int,
    reason: str,
    actor: str,
    idempotency_key: str,
) -> PostingResult:
    """Correct a balance by `amount`, positive or negative, past the overdraft limit if need be.

    Raises `InvalidPosting`, `UnknownAccount` or `IdempotencyConflict`.
    """
    return _post(session, Kind.ADJUSTMENT, account, amount, reason, actor, idempotency_key)


def write_off(
    session: Session,
    *,
    account: str,
    amount: int,
    reason: str,
    actor: str,
    idempotency_key: str,
) -> PostingResult:
    """Forgive `amount` credits of debt, the oldest first.

    Raises `NothingToWriteOff` where that is more than is owed, and the errors of `credit`.
    """
    if type(amount) is int and amount <= 0:
        raise InvalidPosting("amount", f"must be positive, not {amount}")
    return _post(session, Kind.WRITE_OFF, account, amount, reason, actor, idempotency_key)


def reverse(
    session: Session,
    *,
    charge_key: str,
    amount: int | None,
    reason: str,
    actor: str,
    idempotency_key: str,
    dispute_id: str | None = None,
) -> PostingResult:
    """Give a charge back to the very lots it came from, wholly (None: what is left) or in part.

    What the charge still owes is forgiven first. Credit of a lot that has expired comes back in a
    fresh goodwill lot. Raises `InvalidPosting`, `UnknownCharge`, `ReversalTooLarge` or
    `IdempotencyConflict`.
    """
    _check_reason(reason)
    _check_key(charge_key, "charge_key")
    charge = session.scalars(
        select(CreditTransaction).where(CreditTransaction.idempotency_key == charge_key)
    ).one_or_none()
    kind = KIND_RULES[Kind(charge.kind)].reversed_by if charge else None
    if charge is None or kind is None:
        raise UnknownCharge(charge_key)
    account = session.get_one(Account, charge.account_id)
    if amount is None:
        amount = _left(session, charge, account, idempotency_key)
    posting = Posting(
        account=account.ref,
        amount=amount,
        kind=kind,
        idempotency_key=idempotency_key,
        actor=actor,
        description=reason,
        lead_id=charge.lead_id,
        dispute_id=dispute_id,
        reverses=charge_key,
    )
    return post(session, [posting])[0].applied_or_raise()


def _left(session: Session, charge: CreditTransaction, account: Account, key: str) -> int:
    """Return what can still be given back; for a repeated request, what it gave back."""
    # Locked, so that nobody reverses a part of it between this look and the post.
    session.execute(
        select(Account.id).where(Account.id == account.id).with_for_update(key_share=True)
    )
    reversals = session.execute(
        select(CreditTransaction.idempotency_key, CreditTransaction.amount).where(
            CreditTransaction.reverses_id == charge.id
        )
    ).all()
    for reversal_key, amount in reversals:
        if reversal_key == key:
            return int(amount)
    left = -charge.amount - sum(amount for _, amount in reversals)
    if not left:
        raise ReversalTooLarge(charge.idempotency_key, asked=-charge.amount, left=0)
    return left


def _post(
    session: Session,
    kind: Kind,
    account: str,
    amount: int,
    reason: str,
    actor: str,
    idempotency_key: str,
) -> PostingResult:
    _check_reason(reason)
    _check_key(idempotency_key)
    if idempotency_key.startswith(RESERVED_KEY_PREFIXES):
        raise InvalidPosting(
            "idempotency_key", f"must not begin with any of {', '.join(RESERVED_KEY_PREFIXES)}"
        )
    posting = Posting(
        account=account,
        amount=amount,
        kind=kind,
        idempotency_key=idempotency_key,
        actor=actor,
        description=reason,
    )
    return post(session, [posting])[0].applied_or_raise()


def _check_reason(reason: str) -> None:
    problem = problem_with(reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidPosting("reason", f"{problem}: it is what an auditor will read")


def _check_key(key: str, field: str = "idempotency_key") -> None:
    problem = problem_with(key, max_length=KEY_MAX_LENGTH)
    if problem:
        raise InvalidPosting(field, problem)
