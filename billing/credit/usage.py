"""Charging in one step for what a service has used, never more than is available.

Called by `api/charges.py`. If the amount is known only afterwards, `billing/credit/holds.py` sets
credit aside first.
"""

from sqlalchemy.orm import Session

from billing.credit import hold_expiry
from billing.ledger import Kind, Posting, PostingResult, check_posting, post


def charge(
    session: Session,
    *,
    account: str,
    amount: int,
    idempotency_key: str,
    actor: str,
    description: str = "",
) -> PostingResult:
    """Take `amount` credits for usage, once for a key and its content.

    Raises `InsufficientCredit`, `InvalidPosting`, `UnknownAccount` or `IdempotencyConflict`. Posts.
    """
    if type(amount) is int:
        amount = -amount
    posting = Posting(
        account=account,
        amount=amount,
        kind=Kind.USAGE,
        idempotency_key=idempotency_key,
        actor=actor,
        description=description,
    )
    check_posting(posting)
    hold_expiry.end_due_of(session, account)
    return post(session, [posting])[0].applied_or_raise()
