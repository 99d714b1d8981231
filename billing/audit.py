"""The audit log: who changed what, from which door, for every change that is no ledger row.

A door (CLI, API, webhook, task, beat) says once who is asking; the rules record under that name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

import clock
from db.models import AuditEntry

Door = Literal["cli", "api", "webhook", "celery", "beat"]


@dataclass(frozen=True, slots=True)
class _Asking:
    actor: str
    door: Door


_asking: ContextVar[_Asking] = ContextVar("billing.audit.asking")


@contextmanager
def asked_by(actor: str, *, door: Door) -> Iterator[None]:
    """Record whatever the block changes as asked by `actor` through `door`."""
    token = _asking.set(_Asking(actor, door))
    try:
        yield
    finally:
        _asking.reset(token)


def record(
    session: Session,
    action: str,
    subject: str,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    """Write one entry in the caller's transaction.

    `subject` names what was changed (`account:clinic:42`), `before` and `after` the fields that
    differ. Raises `LookupError` outside `asked_by`: a change that nobody asked for is a mistake.
    """
    asking = _asking.get()
    session.add(
        AuditEntry(
            created_at=clock.now(),
            actor=asking.actor,
            door=asking.door,
            action=action,
            subject=subject,
            before=before,
            after=after,
        )
    )
    session.flush()
