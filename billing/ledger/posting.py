"""A posting: one wish to move credit, before the ledger has looked at it; and its result."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from billing.ledger.errors import InvalidPosting
from billing.ledger.kinds import KIND_RULES, REFUND_KINDS, Kind
from billing.money import MAX_CREDITS
from billing.text import (
    DESCRIPTION_MAX_LENGTH,
    ID_MAX_LENGTH,
    KEY_MAX_LENGTH,
    REF_MAX_LENGTH,
    problem_with,
)
from errors import PermanentError


@dataclass(frozen=True, slots=True)
class Posting:
    """One wish to move credit on one account.

    The idempotency key comes from business identity (`lead:L-17:charge`), not from the delivery:
    the same key with the same content is applied once, with other content it is a conflict.
    """

    account: str
    """Reference of the account, such as `clinic:42`."""
    amount: int
    """Credits: negative takes, positive gives."""
    kind: Kind
    idempotency_key: str
    actor: str
    """Who or what asked: `webhook:leads`, `admin:ops`."""
    description: str = ""
    lead_id: str | None = None
    payment_id: str | None = None
    dispute_id: str | None = None
    event_at: datetime | None = None
    """When it happened; None: when it is written. Not part of the content that a key names."""
    expires_at: datetime | None = None
    """When the lot that this credit makes expires; None: never."""
    reverses: str | None = None
    """Idempotency key of the charge that is given back; for the refund kinds only."""
    releases: int = 0
    """Held credit that this charge sets free first: it captures a hold."""
    takes_first: tuple[str, ...] = ()
    """Keys of credits whose lots pay this charge before the burn order: what a payment brought."""
    passes_overdraft_limit: bool = False
    """Charge even what the account cannot pay: the debt stands. The catalog's decision; without
    effect while the account has open holds."""

    def request_hash(self) -> bytes:
        """Return the hash of the content that belongs to the key: all but who, when and how."""
        return hashlib.sha256(
            "\n".join(
                (
                    self.account,
                    str(self.amount),
                    self.kind,
                    self.lead_id or "",
                    self.payment_id or "",
                    self.dispute_id or "",
                    self.expires_at.astimezone(UTC).isoformat() if self.expires_at else "",
                    self.description,
                    # Last, and only where there is one: older rows were hashed without it.
                    *([self.reverses] if self.reverses else []),
                )
            ).encode()
        ).digest()


class Outcome(StrEnum):
    """What the ledger did with a posting."""

    APPLIED = "applied"
    REPEATED = "repeated"
    """The key was applied before with the same content; the first result is returned."""
    REFUSED = "refused"


@dataclass(slots=True)
class PostingResult:
    """What the ledger did with one posting."""

    outcome: Outcome
    transaction_id: int = 0
    version: int = 0
    balance_after: int = 0
    account_id: int = 0
    """The account's id in the database; 0 where there is none, or for a repeat."""
    error: PermanentError | None = None
    """Why it was refused; `billing/errors.py` has the types."""

    def applied_or_raise(self) -> "PostingResult":
        """Return the result; raise the error of a refused one."""
        if self.error is not None:
            raise self.error
        return self


def check(posting: Posting) -> None:
    """Raise `InvalidPosting` naming the field that no ledger could take."""
    amount = posting.amount
    if type(amount) is not int:
        raise InvalidPosting("amount", f"must be a whole number, not {type(amount).__name__}")
    if amount == 0 or abs(amount) > MAX_CREDITS:
        raise InvalidPosting("amount", f"must be between 1 and {MAX_CREDITS}, or its negative")
    if type(posting.kind) is not Kind:
        raise InvalidPosting("kind", f"{posting.kind!r} is not one of {[k.value for k in Kind]}")
    rule = KIND_RULES[posting.kind]
    if rule.sign * amount < 0:
        wanted = "positive" if rule.sign > 0 else "negative"
        raise InvalidPosting("amount", f"of kind {posting.kind} must be {wanted}")
    _check_texts(posting)
    _check_times(posting)
    if (posting.kind in REFUND_KINDS) != (posting.reverses is not None):
        kinds = ", ".join(sorted(REFUND_KINDS))
        raise InvalidPosting("reverses", f"is needed by the kinds {kinds} and by no other")
    if type(posting.releases) is not int or not 0 <= posting.releases <= MAX_CREDITS:
        raise InvalidPosting("releases", f"must be a whole number up to {MAX_CREDITS}")
    if posting.takes_first and amount > 0:
        raise InvalidPosting("takes_first", "is for what takes credit only")
    if posting.releases and amount > 0:
        raise InvalidPosting("releases", "is for a charge that captures a hold only")


def _check_times(posting: Posting) -> None:
    for field in ("event_at", "expires_at"):
        moment = getattr(posting, field)
        if moment is None:
            continue
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise InvalidPosting(field, "must be a time with a zone")
        if not 1970 <= moment.year <= 9000:
            raise InvalidPosting(field, "must be in the years 1970 to 9000")
    if posting.expires_at is not None and (
        posting.amount < 0 or posting.kind in REFUND_KINDS or posting.kind is Kind.WRITE_OFF
    ):
        raise InvalidPosting("expires_at", "is for credit that comes in and makes a lot of its own")


def _check_texts(posting: Posting) -> None:
    for field, max_length in _REQUIRED_TEXTS:
        problem = problem_with(getattr(posting, field), max_length=max_length)
        if problem:
            raise InvalidPosting(field, problem)
    problem = problem_with(
        posting.description, max_length=DESCRIPTION_MAX_LENGTH, may_be_empty=True
    )
    if problem:
        raise InvalidPosting("description", problem)
    for field, max_length in _OPTIONAL_TEXTS:
        value = getattr(posting, field)
        problem = problem_with(value, max_length=max_length) if value is not None else None
        if problem:
            raise InvalidPosting(field, problem)


_OPTIONAL_TEXTS = (
    ("lead_id", ID_MAX_LENGTH),
    ("payment_id", ID_MAX_LENGTH),
    ("dispute_id", ID_MAX_LENGTH),
    ("reverses", KEY_MAX_LENGTH),
)
_REQUIRED_TEXTS = (
    ("account", REF_MAX_LENGTH),
    ("idempotency_key", KEY_MAX_LENGTH),
    ("actor", ID_MAX_LENGTH),
)
