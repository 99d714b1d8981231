"""The ledger: rows, lots, debts and the hash chain; `post` is the only writer of credit."""

from billing.ledger import alert_levels, availability, expiry, hash_chain
from billing.ledger.account_book import AccountBook
from billing.ledger.errors import (
    InsufficientCredit,
    InvalidPosting,
    NothingToWriteOff,
    ReversalTooLarge,
    SecondPost,
    UnknownCharge,
)
from billing.ledger.kinds import KIND_RULES, Kind
from billing.ledger.posting import (
    Outcome,
    Posting,
    PostingResult,
    PostingResults,
    check_posting,
)
from billing.ledger.writer import (
    expire_lots,
    lock_account_of_hold,
    lock_accounts,
    post,
    post_new_credit,
    post_to_locked,
    reversible_credits,
)

__all__ = [
    "AccountBook",
    "InsufficientCredit",
    "InvalidPosting",
    "KIND_RULES",
    "Kind",
    "NothingToWriteOff",
    "Outcome",
    "Posting",
    "PostingResult",
    "PostingResults",
    "ReversalTooLarge",
    "SecondPost",
    "UnknownCharge",
    "alert_levels",
    "availability",
    "check_posting",
    "expire_lots",
    "expiry",
    "hash_chain",
    "lock_account_of_hold",
    "lock_accounts",
    "post",
    "post_new_credit",
    "post_to_locked",
    "reversible_credits",
]
