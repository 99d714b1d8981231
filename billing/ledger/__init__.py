"""The ledger: `post` is the only writer of credit. Rows, lots, debts, the hash chain."""

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
from billing.ledger.posting import Outcome, Posting, PostingResult, check
from billing.ledger.writer import expire, lock, lock_account_of_hold, post, reversible

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
    "ReversalTooLarge",
    "SecondPost",
    "UnknownCharge",
    "alert_levels",
    "availability",
    "check",
    "expire",
    "expiry",
    "hash_chain",
    "lock",
    "lock_account_of_hold",
    "post",
    "reversible",
]
