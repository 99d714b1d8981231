"""The record of refused requests: notices of all, rows in `lead_conflicts` of the conflicts.

Used by `billing/leads/charging.py`.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.errors import IdempotencyConflict
from billing.leads.request import LeadRequest
from billing.topics import Topic
from db import outbox
from db.bulk import int_array, text_array
from db.outbox import NewNotice
from errors import PermanentError

# A request that is sent again and again is one conflict.
_INSERT_CONFLICTS = text("""
INSERT INTO lead_conflicts (lead_id, account_id, package_price_paise, actor, created_at)
SELECT DISTINCT ON (n.lead_id, a.id, n.price)
       n.lead_id, a.id, n.price, n.actor, CAST(:now AS timestamptz)
  FROM unnest(CAST(:leads AS text[]), CAST(:refs AS text[]), CAST(:prices AS bigint[]),
              CAST(:actors AS text[])) AS n(lead_id, ref, price, actor)
  JOIN accounts a ON a.ref = n.ref
 WHERE NOT EXISTS (SELECT FROM lead_conflicts c WHERE c.lead_id = n.lead_id
                      AND c.account_id = a.id AND c.package_price_paise = n.price)
""")


def record(
    session: Session,
    refused: Sequence[tuple[LeadRequest, str, PermanentError]],
    *,
    now: datetime,
) -> None:
    """Write a notice of each refused request and its reason, and keep the conflicts.

    `refused`: the request, who asked for it, and the reason.
    """
    conflicts = [
        (request, actor)
        for request, actor, error in refused
        if isinstance(error, IdempotencyConflict)
    ]
    if conflicts:
        session.execute(
            _INSERT_CONFLICTS,
            {
                "leads": text_array(request.lead_id for request, _ in conflicts),
                "refs": text_array(request.account for request, _ in conflicts),
                "prices": int_array(request.package_price_paise for request, _ in conflicts),
                "actors": text_array(actor for _, actor in conflicts),
                "now": now,
            },
        )
    outbox.write(session, [_notice(request, error) for request, _, error in refused], now=now)


def _notice(request: LeadRequest, error: PermanentError) -> NewNotice:
    is_conflict = isinstance(error, IdempotencyConflict)
    return NewNotice(
        Topic.LEAD_CONFLICT if is_conflict else Topic.LEAD_REFUSED,
        f"lead:{request.lead_id}",
        None,
        {
            "lead_id": request.lead_id,
            "account": request.account,
            "reason": type(error).__name__,
        },
    )
