"""What an operator may do to an account by hand."""

from sqlalchemy.orm import Session

from billing.errors import InvalidPosting
from billing.kinds import Kind
from billing.ledger import post
from billing.postings import Posting, PostingResult

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

    The key must not begin like one that a rule makes (`lead:`): it would stand in the rule's way.

    Raises `InvalidPosting`, `UnknownAccount` or `IdempotencyConflict`.
    """
    if not reason.strip():
        raise InvalidPosting("reason", "must not be empty: it is what an auditor will read")
    if type(amount) is int and amount <= 0:
        raise InvalidPosting("amount", f"must be positive, not {amount}")
    if idempotency_key.startswith(RESERVED_KEY_PREFIXES):
        raise InvalidPosting(
            "idempotency_key", f"must not begin with any of {', '.join(RESERVED_KEY_PREFIXES)}"
        )
    posting = Posting(
        account=account,
        amount=amount,
        kind=Kind.GOODWILL,
        idempotency_key=idempotency_key,
        actor=actor,
        description=reason,
    )
    return post(session, [posting])[0].applied_or_raise()
