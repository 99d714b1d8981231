"""Tamper evidence: each ledger row's hash covers its content and the hash of the row before.

Computed when a row is written and again by `billing ledger verify`. Serial ids are left out: a copy
of the data in another database must give the same hashes.
"""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache


def first_hash(account_ref: str) -> bytes:
    """Return the hash before an account's first row: the chain starts from its reference."""
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
    """Return the SHA-256 of `previous`, the hash of the row before, and the row's content.

    Fields are joined by line feeds, which no field can hold (`billing/text.py`). An absent
    reference counts as an empty one, which is refused elsewhere. The key of the charge that the row
    reverses is covered if there is one.
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
