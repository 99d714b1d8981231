"""The daily verification of the ledger: when it ran, and its result.

The row of a check is written before it begins, so that a check whose process died is visible, and
two beats start only one. Called by `tasks/ledger.py` and `billing ledger checks`.
"""

from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from billing.verification.proof import Report
from db.models import LedgerCheck
from db.pages import Page, Wanted, read_page

EVERY = timedelta(hours=24)
GIVEN_UP_AFTER = timedelta(hours=1)
"""A check that has not ended by then counts as dead, and another may start."""

# The key of the advisory lock for starting a check; any fixed number.
_LOCK = text("SELECT pg_advisory_xact_lock(7100403)")
_RECENT = text("""
SELECT EXISTS (SELECT FROM ledger_checks
                WHERE started_at > :given_up OR (finished_at IS NOT NULL AND started_at > :since))
""")


def start_if_due(session: Session, *, now: datetime) -> int | None:
    """Return the id of a check to run now; None if there was one in the last day."""
    session.execute(_LOCK)
    bounds = {"given_up": now - GIVEN_UP_AFTER, "since": now - EVERY}
    if session.scalar(_RECENT, bounds):
        return None
    check = LedgerCheck(started_at=now)
    session.add(check)
    session.flush()
    return check.id


def finish(session: Session, check_id: int, report: Report, *, now: datetime) -> None:
    """Record the result of a check."""
    check = session.get_one(LedgerCheck, check_id)
    check.finished_at = now
    check.accounts = report.accounts
    check.transactions = report.transactions
    check.breaches = len(report.breaches) + report.more_breaches


def newest(session: Session, wanted: Wanted) -> Page[LedgerCheck]:
    """Return the newest checks, newest first."""
    return read_page(
        session,
        select(LedgerCheck),
        wanted,
        by=[LedgerCheck.id],
        time=LedgerCheck.started_at,
        scalars=True,
    )
