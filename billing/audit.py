"""The audit log: who changed what, and how, for every change that is not a ledger row.

A door (CLI, API, webhook, Celery, beat, a page) names the actor once with `asked_by`; the rules
record changes under that name.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

import clock
from db.bulk import copy_rows
from service import request_ids

Door = Literal["cli", "api", "webhook", "celery", "beat", "web"]


@dataclass(frozen=True, slots=True)
class _Asking:
    actor: str
    door: Door


_asking: ContextVar[_Asking] = ContextVar("billing.audit.asking")


@contextmanager
def asked_by(actor: str, *, door: Door) -> Iterator[None]:
    """Record the changes of the block as asked by `actor` through `door`."""
    token = _asking.set(_Asking(actor, door))
    try:
        yield
    finally:
        _asking.reset(token)


@dataclass(frozen=True, slots=True)
class Change:
    """One change: its subject (`account:clinic:42`), its action, and the fields that differ."""

    subject: str
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    request_id: str | None = field(default_factory=request_ids.current, compare=False)
    """Of the request that made it."""


def record(
    session: Session,
    action: str,
    subject: str,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    """Write one entry in the caller's transaction; see `Change` for the arguments.

    Raises `LookupError` outside `asked_by`: a change without an actor is a mistake.
    """
    record_all(session, [Change(subject, action, before, after)])


_COLUMNS = ("created_at", "actor", "door", "action", "subject", "before", "after", "request_id")


def record_all(session: Session, changes: Sequence[Change]) -> None:
    """Write an entry for each change; raises as `record`."""
    if not changes:
        return
    asking, now = _asking.get(), clock.now()
    rows = [
        (
            now, asking.actor, asking.door, c.action, c.subject, _json(c.before), _json(c.after),
            c.request_id,
        )
        for c in changes
    ]  # fmt: skip
    copy_rows(session, "billing_audit_log", _COLUMNS, rows)


def _json(fields: Mapping[str, Any] | None) -> str | None:
    return None if fields is None else json.dumps(fields, separators=(",", ":"))
