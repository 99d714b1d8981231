"""Spending credit in one step: a charge of what a service has used, never more than there is.

Called by `api/charges.py`. Where the amount is known only afterwards, `billing/credit/holds.py`
sets the credit aside first.
"""

from sqlalchemy.orm import Session

from billing.credit import holds
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
    """Take `amount` credits for usage; with the same key and content, once.

    Raises `InsufficientCredit` where less is available, `InvalidPosting`, `UnknownAccount` or
    `IdempotencyConflict`. Posts.
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
    holds.end_due_of(session, account)
    return post(session, [posting])[0].applied_or_raise()
