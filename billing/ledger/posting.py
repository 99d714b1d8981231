"""Postings, which ask the ledger to move credit, and their results."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from billing import instants
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
from service import request_ids


@dataclass(frozen=True, slots=True)
class Posting:
    """A request to move credit on one account.

    The idempotency key comes from the business identity (`lead:L-17:charge`), not from the
    delivery: the same key with the same content is applied once, with other content it is a
    conflict.
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
    """When it happened; None: when it is written. Not part of the content behind the key."""
    expires_at: datetime | None = None
    """When the lot of this credit expires; None: never."""
    reverses: str | None = None
    """Idempotency key of the charge that this reverses; for the refund kinds only."""
    releases: int = 0
    """Held credits that this charge releases first, because it captures a hold."""
    takes_first: tuple[str, ...] = ()
    """Keys of credits whose lots pay this charge before the burn order applies, such as the
    credits of a payment that is taken back."""
    passes_overdraft_limit: bool = False
    """Charge even what the account cannot pay, as debt, if the catalog allows it. Without effect
    while the account has open holds."""
    request_id: str | None = field(default_factory=request_ids.current, compare=False)
    """Of the request that asked; only noted: neither the content behind the key nor the hash of the
    row covers it."""

    def request_hash(self) -> bytes:
        """Return the hash of the content behind the key: all but who, when and how."""
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
                    # Last, and only if there is one: older rows were hashed without it.
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
    """Database id of the account; 0 for an unknown account or a repeat."""
    error: PermanentError | None = None
    """Why it was refused."""

    def applied_or_raise(self) -> "PostingResult":
        """Return the result; raise the error of a refused one."""
        if self.error is not None:
            raise self.error
        return self


class PostingResults(list[PostingResult]):
    """The results of one post, in the order of its postings."""

    def __init__(self, postings: Sequence[Posting], results: Iterable[PostingResult]) -> None:
        super().__init__(results)
        self._by_key: dict[str, PostingResult] = {}
        for posting, result in zip(postings, self, strict=True):
            self._by_key.setdefault(posting.idempotency_key, result)

    def of(self, idempotency_key: str) -> PostingResult:
        """Return the result of the first posting with this key; raises `KeyError`."""
        return self._by_key[idempotency_key]


def check_posting(posting: Posting) -> None:
    """Raise `InvalidPosting`, which names the field, if a posting can never be applied."""
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
        raise InvalidPosting("amount", f"must be {wanted} for kind {posting.kind}")
    _check_texts(posting)
    _check_times(posting)
    if (posting.kind in REFUND_KINDS) != (posting.reverses is not None):
        kinds = ", ".join(sorted(REFUND_KINDS))
        raise InvalidPosting("reverses", f"is required for the kinds {kinds} and for no other")
    if type(posting.releases) is not int or not 0 <= posting.releases <= MAX_CREDITS:
        raise InvalidPosting("releases", f"must be a whole number from 0 to {MAX_CREDITS}")
    if posting.takes_first and amount > 0:
        raise InvalidPosting("takes_first", "is only for a posting that takes credit")
    if posting.releases and amount > 0:
        raise InvalidPosting("releases", "is only for a charge that captures a hold")


def _check_times(posting: Posting) -> None:
    for name in ("event_at", "expires_at"):
        moment = getattr(posting, name)
        if moment is None:
            continue
        if problem := instants.problem_with(moment):
            raise InvalidPosting(name, problem)
    if posting.expires_at is not None and (
        posting.amount < 0 or posting.kind in REFUND_KINDS or posting.kind is Kind.WRITE_OFF
    ):
        raise InvalidPosting("expires_at", "is only for new credit, which makes a lot of its own")


def _check_texts(posting: Posting) -> None:
    for name, max_length in _REQUIRED_TEXTS:
        problem = problem_with(getattr(posting, name), max_length=max_length)
        if problem:
            raise InvalidPosting(name, problem)
    problem = problem_with(
        posting.description, max_length=DESCRIPTION_MAX_LENGTH, may_be_empty=True
    )
    if problem:
        raise InvalidPosting("description", problem)
    for name, max_length in _OPTIONAL_TEXTS:
        value = getattr(posting, name)
        problem = problem_with(value, max_length=max_length) if value is not None else None
        if problem:
            raise InvalidPosting(name, problem)


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
