"""The end of holds whose time is up: by the sweep, and before credit is spent."""

from sqlalchemy.orm import Session

import clock
from billing.credit import hold_audit, hold_table

ACTOR = "system:expiry"


def expire_due(session: Session, *, limit: int = 1_000) -> int:
    """End the open holds past their time on up to `limit` accounts; return how many ended.

    The sweep calls it until none is left. A locked account is left for the next sweep, so that the
    others do not wait for it.
    """
    ended = hold_table.end_due(session, actor=ACTOR, now=clock.now(), limit=limit)
    hold_audit.record_expired(session, ended)
    return len(ended)


def end_due_of(session: Session, account: str) -> int:
    """End the open holds of one account past their time; return how many ended.

    Call it before credit is spent, which must not wait for the sweep, and before the transaction's
    post, which lets the credit expire that only these holds kept.
    """
    ended = hold_table.end_due_of(session, account, actor=ACTOR, now=clock.now())
    hold_audit.record_expired(session, ended)
    return len(ended)
