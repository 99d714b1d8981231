"""The ledger on beat: holds and credit that expire, and the daily check of the books.

A tick works until nothing is due: lost, doubled and late ticks are harmless.
"""

from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session

import clock
from billing import audit, verification
from billing.credit import hold_expiry
from billing.ledger import expiry
from billing.verification import daily_check
from db.session import snapshot, transaction
from tasks.plumbing import nudges
from worker.app import app

log = structlog.get_logger()

CHECK_SECONDS = 50 * 60


@app.task(name="tasks.ledger.expire")
def expire() -> None:
    """End the holds whose time is up, then expire the credit that is past its time."""
    with audit.asked_by("system:expiry", door="beat"):
        ended = _until_none_is_left(hold_expiry.expire_due)
        accounts = _until_none_is_left(expiry.expire_due)
    if ended:
        nudges.send_release()  # what was held may pay for a lead
    if ended or accounts:
        log.info("expired", holds=ended, accounts_with_lots=accounts)


@app.task(
    name="tasks.ledger.check",
    # It runs longer than the broker waits for an acknowledgement, so that is sent at once. A
    # later tick starts a check that died again.
    acks_late=False,
    soft_time_limit=CHECK_SECONDS,
    time_limit=CHECK_SECONDS + 60,
)
def check() -> None:
    """Verify the ledger if that is due, record the result, and log every breach."""
    with transaction() as session:
        check_id = daily_check.start_if_due(session, now=clock.now())
    if check_id is None:
        return
    with snapshot() as session:
        report = verification.verify(session)
    with transaction() as session:
        daily_check.finish(session, check_id, report, now=clock.now())
    for breach in report.breaches:
        log.error(
            "ledger breach",
            invariant=breach.invariant,
            account=breach.account,
            detail=breach.detail,
        )
    log.info(
        "ledger verified",
        accounts=report.accounts,
        transactions=report.transactions,
        breaches=len(report.breaches) + report.more_breaches,
    )


def _until_none_is_left(expire_due: Callable[[Session], int]) -> int:
    total = 0
    while True:
        with transaction() as session:
            done = expire_due(session)
        if not done:
            return total
        total += done
