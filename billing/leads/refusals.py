"""The record of refused requests: notices of all, rows in `lead_conflicts` of the conflicts.

Used by `billing/leads/charging.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
INSERT INTO lead_conflicts (lead_id, account_id, package_price_paise, actor, created_at, request_id)
SELECT DISTINCT ON (n.lead_id, a.id, n.price)
       n.lead_id, a.id, n.price, n.actor, CAST(:now AS timestamptz), n.request_id
  FROM unnest(CAST(:leads AS text[]), CAST(:refs AS text[]), CAST(:prices AS bigint[]),
              CAST(:actors AS text[]), CAST(:request_ids AS text[]))
       AS n(lead_id, ref, price, actor, request_id)
  JOIN accounts a ON a.ref = n.ref
 WHERE NOT EXISTS (SELECT FROM lead_conflicts c WHERE c.lead_id = n.lead_id
                      AND c.account_id = a.id AND c.package_price_paise = n.price)
""")


@dataclass(frozen=True, slots=True)
class Refused:
    """A request for a lead, who asked, why it was refused, and the HTTP request that brought it."""

    request: LeadRequest
    actor: str
    error: PermanentError
    request_id: str | None


def record(
    session: Session,
    refused: Sequence[Refused],
    *,
    now: datetime,
) -> None:
    """Write a notice of each refused request and its reason, and keep the conflicts.

    A notice is about the account of its request if that is known.
    """
    conflicts = [one for one in refused if isinstance(one.error, IdempotencyConflict)]
    if conflicts:
        session.execute(
            _INSERT_CONFLICTS,
            {
                "leads": text_array(one.request.lead_id for one in conflicts),
                "refs": text_array(one.request.account for one in conflicts),
                "prices": int_array(one.request.package_price_paise for one in conflicts),
                "request_ids": text_array(one.request_id for one in conflicts),
                "actors": text_array(one.actor for one in conflicts),
                "now": now,
            },
        )
    if not refused:
        return
    refs = text_array({one.request.account for one in refused})
    ids: dict[str, int] = dict(session.execute(_ACCOUNT_IDS, {"refs": refs}).all())
    outbox.write(session, [_notice(one, ids.get(one.request.account)) for one in refused], now=now)


_ACCOUNT_IDS = text("SELECT ref, id FROM accounts WHERE ref = ANY(CAST(:refs AS text[]))")


def _notice(refused: Refused, account_id: int | None) -> NewNotice:
    request, error = refused.request, refused.error
    is_conflict = isinstance(error, IdempotencyConflict)
    return NewNotice(
        Topic.LEAD_CONFLICT if is_conflict else Topic.LEAD_REFUSED,
        f"lead:{request.lead_id}",
        account_id,
        {
            "lead_id": request.lead_id,
            "account": request.account,
            "reason": type(error).__name__,
        },
        request_id=refused.request_id,
    )
