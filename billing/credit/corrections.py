"""Corrections by an operator: credit, adjust, write off, reverse a charge.

Their idempotency keys must not begin like the keys of the rules (`lead:`), which they would block;
and no credit by hand has a key that names a payment (`payment_keys.py`).
"""

from sqlalchemy.orm import Session

from billing.credit import payment_keys, reversals
from billing.ledger import InvalidPosting, Kind, Posting, PostingResult, post
from billing.text import DESCRIPTION_MAX_LENGTH, KEY_MAX_LENGTH, problem_with, problem_with_identity

RESERVED_KEY_PREFIXES = (
    "lead:",
    "lot:",
    "hold:",
    "opening:",
    "dispute:",
    "grant:",
    "razorpay:",
    "stripe:",
    "refund:",
    "chargeback:",
    "api:",
)
"""How the keys of the rules begin."""


def credit(
    session: Session,
    *,
    account: str,
    amount: int,
    reason: str,
    actor: str,
    idempotency_key: str,
) -> PostingResult:
    """Give `amount` credits of goodwill, once for a key and its content.

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
    """Correct a balance by `amount` credits, positive or negative, even past the overdraft limit.

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

    Raises `NothingToWriteOff` if less is owed, and the errors of `credit`.
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
) -> PostingResult:
    """Reverse a charge; see `billing/credit/reversals.py`."""
    _check_reason(reason)
    _check_key(charge_key, "charge_key")
    _check_own_key(idempotency_key)
    return reversals.reverse(
        session,
        charge_key=charge_key,
        amount=amount,
        reason=reason,
        actor=actor,
        idempotency_key=idempotency_key,
    )


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
    _check_own_key(idempotency_key)
    gives = kind is not Kind.WRITE_OFF and type(amount) is int and amount > 0
    if gives and payment_keys.names_a_payment(idempotency_key):
        raise InvalidPosting("idempotency_key", payment_keys.INSTEAD)
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
        raise InvalidPosting("reason", f"{problem}: auditors read it")


def _check_own_key(key: str) -> None:
    if problem := problem_with_identity(key, max_length=KEY_MAX_LENGTH):
        raise InvalidPosting("idempotency_key", problem)
    if key.startswith(RESERVED_KEY_PREFIXES):
        raise InvalidPosting(
            "idempotency_key", f"must not begin with any of {', '.join(RESERVED_KEY_PREFIXES)}"
        )


def _check_key(key: str, field: str) -> None:
    problem = problem_with(key, max_length=KEY_MAX_LENGTH)
    if problem:
        raise InvalidPosting(field, problem)
