"""The audit log: who changed what, from which door, for every change that is no ledger row.

A door (CLI, API, webhook, task, beat) says once who is asking; the rules record under that name.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

import clock
from db.bulk import copy_rows

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


@dataclass(frozen=True, slots=True)
class Change:
    """One change: of what (`account:clinic:42`), which, and the fields that differ."""

    subject: str
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


_COLUMNS = ("created_at", "actor", "door", "action", "subject", "before", "after")


def record_all(session: Session, changes: Sequence[Change]) -> None:
    """Write an entry for each change; see `record`."""
    if not changes:
        return
    asking, now = _asking.get(), clock.now()
    rows = [
        (now, asking.actor, asking.door, c.action, c.subject, _json(c.before), _json(c.after))
        for c in changes
    ]
    copy_rows(session, "billing_audit_log", _COLUMNS, rows)


def _json(fields: Mapping[str, Any] | None) -> str | None:
    return None if fields is None else json.dumps(fields, separators=(",", ":"))


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
    record_all(session, [Change(subject, action, before, after)])
