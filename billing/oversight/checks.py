"""The questions: each reads a few rows of a partial index, however large the table is.

A query selects one column, the time since which a row waits (NULL: not known), the oldest first.
It is stopped at `COUNTED` rows. The time is the parameter `now`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing import payments
from billing.oversight.check import CALENDAR as _CALENDAR
from billing.oversight.check import PERSON as _PERSON
from billing.oversight.check import Check
from billing.oversight.levels import COUNTED, Finding, Level, Patience
from billing.oversight.notice_checks import NOTICE_CHECKS, of_settings

_PAYMENTS_TO_PLACE = payments.attention.needs_a_person().compile(
    compile_kwargs={"literal_binds": True}
)


CHECKS: tuple[Check, ...] = (
    # What the workers do by themselves, and is late.
    Check(
        "events_waiting",
        "SELECT next_attempt_at FROM inbound_events WHERE state = 'pending'"
        " AND next_attempt_at <= :now ORDER BY source, next_attempt_at, id",
        Patience(attention=timedelta(minutes=2), broken=timedelta(minutes=15)),
        "see that the workers run; billing inbox list --state pending",
    ),
    Check(
        "orders_to_ask",
        "SELECT next_ask_at FROM billing_orders WHERE next_ask_at IS NOT NULL"
        " AND next_ask_at <= :now ORDER BY next_ask_at",
        _CALENDAR,
        "see that beat and the workers run, and that the gateway answers",
    ),
    Check(
        "refunds_to_ask",
        "SELECT next_ask_at FROM billing_refunds WHERE next_ask_at IS NOT NULL"
        " AND next_ask_at <= :now ORDER BY next_ask_at",
        _CALENDAR,
        "see that beat and the workers run; billing refunds list",
    ),
    Check(
        "grants_due",
        "SELECT next_grant_at FROM account_plans WHERE next_grant_at <= :now"
        " ORDER BY next_grant_at",
        _CALENDAR,
        "billing grants run --dry-run",
    ),
    Check(
        "renewals_due",
        "SELECT next_step_at FROM account_plans WHERE next_step_at IS NOT NULL"
        " AND next_step_at <= :now ORDER BY next_step_at",
        _CALENDAR,
        "see that beat and the workers run; billing plans list",
    ),
    Check(
        "holds_to_expire",
        "SELECT expires_at FROM holds WHERE state = 'open' AND expires_at <= :now"
        " ORDER BY expires_at",
        _CALENDAR,
        "see that beat and the workers run; billing holds list --state open",
    ),
    Check(
        "credit_to_expire",
        "SELECT expires_at FROM credit_lots WHERE exhausted_at IS NULL"
        " AND expires_at IS NOT NULL AND expires_at <= :now ORDER BY expires_at",
        _CALENDAR,
        "see that beat and the workers run",
    ),
    Check(
        "leads_parked",
        "SELECT created_at FROM lead_charges WHERE state = 'parked'",
        Patience(),  # they wait for the customer's credit, as long as it takes
        "billing leads list --state parked",
    ),
    # What waits for a person.
    Check(
        "events_dead",
        "SELECT received_at FROM inbound_events WHERE state = 'dead' ORDER BY id",
        _PERSON,
        "billing inbox list --state dead",
    ),
    Check(
        "payments_to_place",
        f"SELECT created_at FROM billing_payments WHERE {_PAYMENTS_TO_PLACE} ORDER BY id",
        _PERSON,
        "billing payments list --needs-a-look",
    ),
    Check(
        "orders_unsettled",
        "SELECT created_at FROM billing_orders WHERE next_ask_at IS NOT NULL"
        " AND last_error IS NOT NULL ORDER BY next_ask_at",
        _PERSON,
        "billing orders list --needs-a-look",
    ),
    Check(
        "refunds_unanswered",
        "SELECT created_at FROM billing_refunds WHERE next_ask_at IS NOT NULL"
        " AND last_error IS NOT NULL ORDER BY next_ask_at",
        _PERSON,
        "billing refunds list --needs-a-look",
    ),
    Check(
        "refund_credit_unsettled",
        "SELECT settlement_failed_at FROM billing_refunds WHERE settled_at IS NULL"
        " AND settlement_failed_at IS NOT NULL ORDER BY id",
        _PERSON,
        "billing refunds list --needs-a-look",
    ),
    Check(
        "chargeback_credit_unsettled",
        "SELECT settlement_failed_at FROM billing_chargebacks WHERE settled_at IS NULL"
        " AND settlement_failed_at IS NOT NULL ORDER BY id",
        _PERSON,
        "billing chargebacks list --needs-a-look",
    ),
    Check(
        "plans_put_off",
        "SELECT CAST(NULL AS timestamptz) FROM account_plans"
        " WHERE grant_problem IS NOT NULL OR step_problem IS NOT NULL",
        _PERSON,
        "billing plans list --needs-a-look",
    ),
    Check(
        "refunds_unsettled",
        "SELECT created_at FROM billing_refunds WHERE settled_at IS NULL ORDER BY id",
        Patience(attention=timedelta(days=3)),  # a gateway needs days for some methods
        "billing refunds list; ask the gateway",
    ),
    Check(
        "chargebacks_open",
        "SELECT created_at FROM billing_chargebacks"
        " WHERE state IN ('open', 'under_review', 'action_required') ORDER BY respond_by",
        _PERSON,
        "billing chargebacks list --open",
    ),
    Check(
        "disputes_pending",
        "SELECT created_at FROM lead_disputes WHERE state = 'pending'",
        _PERSON,
        "billing disputes list --state pending",
    ),
    Check(
        "accounts_to_review",
        "SELECT CAST(NULL AS timestamptz) FROM accounts WHERE review_reason IS NOT NULL",
        _PERSON,
        "billing accounts list --review",
    ),
    *NOTICE_CHECKS,
)


def look(session: Session, *, now: datetime) -> list[Finding]:
    """Return a finding for each check, those that need nothing too."""
    return [
        *(_ask(session, check, now) for check in CHECKS),
        *of_settings(session),
        *_ledger(session, now),
    ]


def _ask(session: Session, check: Check, now: datetime) -> Finding:
    limited = text(
        f"SELECT count(*), min(since) FROM ({check.query} LIMIT :limit) AS found (since)"
    )
    count, since = session.execute(limited, {"now": now, "limit": COUNTED + 1}).one()
    return _finding(check.what, check.patience, check.look, count, since and now - since)


def _finding(
    what: str, patience: Patience, todo: str, count: int, age: timedelta | None
) -> Finding:
    seconds = None if age is None else max(0, int(age.total_seconds()))
    return Finding(what, patience.level(count, age), count, seconds, todo)


_LAST_CHECK = text("""
SELECT finished_at, breaches FROM ledger_checks
 WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT 1
""")
_FIRST_ROW = text("SELECT created_at FROM credit_transactions ORDER BY id LIMIT 1")
_CHECK_IS_LATE = timedelta(hours=26)
"""A check is due once a day; this leaves time for it to run."""


def _ledger(session: Session, now: datetime) -> Sequence[Finding]:
    """Return what the last check of the ledger found, and whether the next one is late."""
    last = session.execute(_LAST_CHECK).one_or_none()
    breaches = last.breaches if last is not None else 0
    since = last.finished_at if last is not None else session.scalar(_FIRST_ROW)
    late = since is not None and now - since > _CHECK_IS_LATE
    age = now - since if since is not None else None
    return (
        Finding(
            "ledger_breaches",
            Level.BROKEN if breaches else Level.WELL,
            breaches,
            None,
            "billing ledger verify",
        ),
        _finding(
            "ledger_check_late", _PERSON, "see that beat runs; billing ledger checks",
            int(late), age if late else None,
        ),
    )  # fmt: skip
