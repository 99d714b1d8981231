"""Tamper evidence: each ledger row's hash covers its content and the account's previous hash.

Used when a row is written and when `ledger verify` reads it again. No serial ids go in: they
are not part of what happened, and a copy of the data elsewhere must give the same hashes.
"""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache


def first_hash(account_ref: str) -> bytes:
    """Return what stands before an account's first row: its chain starts from its own name."""
    return hashlib.sha256(account_ref.encode()).digest()


def row_hash(  # noqa: PLR0913 - one argument a column
    previous: bytes,
    *,
    version: int,
    amount: int,
    balance_after: int,
    kind: str,
    idempotency_key: str,
    request_hash: bytes,
    lead_id: str | None,
    payment_id: str | None,
    dispute_id: str | None,
    actor: str,
    description: str,
    event_at: datetime,
    created_at: datetime,
    reverses_key: str | None = None,
) -> bytes:
    """Return the SHA-256 of the row's content after `previous`, the hash of the row before.

    Fields are joined by line feeds, which none of them can hold (`billing/text.py`); an absent
    reference and an empty one are the same, since an empty one is refused. The charge that a row
    reverses goes in by its key, and only where there is one.
    """
    content = (
        f"{version}\n{amount}\n{balance_after}\n{kind}\n{idempotency_key}\n{lead_id or ''}\n"
        f"{payment_id or ''}\n{dispute_id or ''}\n{actor}\n{description}\n"
        f"{_utc(event_at)}\n{_utc(created_at)}"
    )
    if reverses_key is not None:
        content += f"\n{reverses_key}"
    return hashlib.sha256(previous + request_hash + content.encode()).digest()


@lru_cache(maxsize=1024)  # the rows of a batch share their times
def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
