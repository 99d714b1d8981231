"""The settlement of credit with money that goes back: refunds and chargebacks, one by one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import structlog
from sqlalchemy.orm import Session

from billing import audit
from billing.payments import clawbacks
from billing.returns import chargebacks, refund_intake, refund_lifecycle
from db.errors import DatabaseBusy
from db.models import Chargeback, Refund
from db.models.returns import Clawback
from db.session import transaction
from errors import TransientError
from service import request_ids
from service.disclosure import shown_error

log = structlog.get_logger()

ACTOR = "system:refunds"
AT_ONCE = 200


def settle_all() -> int:
    """Settle all that can be, each in a transaction of its own; return how many were settled.

    Called after whatever may have changed a state, and on beat for what was missed.
    """
    done = 0
    with audit.asked_by(ACTOR, door="beat"):
        while settled := _round():  # a clawback that ends may leave its share to another
            done += settled
    return done


def _round() -> int:
    done = 0
    for id_, request_id in _all(Refund, refund_lifecycle.unsettled):
        with request_ids.bound(request_id):  # of the row, whoever came by to settle it
            done += _settled(refund_intake.settle, id_, refund_lifecycle.record_failure)
    for id_, request_id in _all(Chargeback, chargebacks.unsettled):
        with request_ids.bound(request_id):
            done += _settled(chargebacks.settle, id_, chargebacks.record_failure)
    return done


def _all(
    kind: type[Clawback], unsettled: Callable[..., Sequence[int]]
) -> Iterator[tuple[int, str | None]]:
    """Yield the id of each unsettled row, and the id of the request that made it."""
    # Each once, page by page: those that cannot be settled must not fill the first page for ever.
    ids, made_by = _page(kind, unsettled, 0)
    while ids:
        yield from ((id_, made_by.get(id_)) for id_ in ids)
        ids, made_by = _page(kind, unsettled, ids[-1])


def _page(
    kind: type[Clawback], unsettled: Callable[..., Sequence[int]], after: int
) -> tuple[Sequence[int], dict[int, str | None]]:
    with transaction() as session:
        ids = unsettled(session, limit=AT_ONCE, after=after)
        return ids, clawbacks.request_ids_of(session, kind, ids) if ids else {}


def _settled(
    settle: Callable[..., bool],
    row_id: int,
    record_failure: Callable[[Session, int, Exception], None],
) -> bool:
    try:
        with transaction() as session:
            return settle(session, row_id, actor=ACTOR)
    except DatabaseBusy as error:
        log.warning("credit not settled yet", **_about(settle, row_id, error))
    except TransientError:
        raise  # without a database, the others fail too
    except Exception as error:
        # It stays unsettled until the next tick; the others must not wait.
        log.exception("credit not settled", **_about(settle, row_id, error))
        with suppress(DatabaseBusy), transaction() as session:
            record_failure(session, row_id, error)
    return False


def _about(settle: Callable[..., bool], row_id: int, error: Exception) -> dict[str, object]:
    return {
        "rule": settle.__module__,
        "claim": row_id,
        "error": shown_error(error),
    }
