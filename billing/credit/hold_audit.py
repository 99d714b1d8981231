"""The audit log's entries about holds."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Row
from sqlalchemy.orm import Session

from billing import audit
from db.models import Hold


def record(session: Session, hold: Hold, account: str, *, before: str | None) -> None:
    """Record that a hold of `account` was placed (`before` None), or ended in its present state."""
    audit.record(
        session,
        "hold.placed" if before is None else f"hold.{hold.state}",
        f"hold:{hold.id}",
        before={"state": before} if before else None,
        after=_content(account, hold.amount, hold.expires_at, hold.state),
    )


def record_expired(
    session: Session, ended: Sequence[Row[int, str, int, datetime, str | None]]
) -> None:
    """Record expired holds: (id, account's reference, amount, when, request id) of each."""
    audit.record_all(
        session,
        [
            audit.Change(
                f"hold:{id_}",
                "hold.expired",
                {"state": "open"},
                _content(account, amount, expires_at, "expired"),
                request_id,
            )
            for id_, account, amount, expires_at, request_id in ended
        ],
    )


def _content(
    account: str, amount: int, expires_at: datetime | None, state: str
) -> dict[str, object]:
    ends = expires_at.astimezone(UTC).isoformat() if expires_at else None
    return {"state": state, "account": account, "amount": amount, "expires_at": ends}
