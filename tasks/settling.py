"""Bringing credit in line with money that goes back: refunds and chargebacks, one by one."""

from collections.abc import Callable

import structlog

from billing import audit, chargebacks, refund_news, refund_rows
from db.errors import PermanentError
from db.session import transaction

log = structlog.get_logger()

ACTOR = "system:refunds"
AT_ONCE = 200


def settle_all() -> int:
    """Settle what can be, each in a transaction of its own; return how many were.

    Called after whatever may have changed a state, and on beat for what was missed.
    """
    done = 0
    with audit.asked_by(ACTOR, door="beat"):
        with transaction() as session:
            refund_ids = refund_rows.unsettled(session, limit=AT_ONCE)
            chargeback_ids = chargebacks.unsettled(session, limit=AT_ONCE)
        for refund_id in refund_ids:
            done += _settled(refund_news.settle, refund_id)
        for chargeback_id in chargeback_ids:
            done += _settled(chargebacks.settle, chargeback_id)
    return done


def _settled(settle: Callable[..., bool], claim_id: int) -> bool:
    try:
        with transaction() as session:
            return settle(session, claim_id, actor=ACTOR)
    except PermanentError as error:
        # It stays unsettled, and is tried again at the next tick; the others must not wait.
        log.error("credit not settled", rule=settle.__module__, claim=claim_id,
                  error=f"{type(error).__name__}: {error}")  # fmt: skip
        return False
