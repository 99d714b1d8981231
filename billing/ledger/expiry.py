"""Finding the accounts whose credit is past its time; `billing/ledger/writer.py` lets it expire."""

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing.ledger import writer as ledger

# What open holds need stays: such an account is due again when they end. One that somebody else has
# locked is left for the next turn: it must not keep the others waiting.
_DUE = text("""
SELECT a.ref
  FROM (SELECT account_id, min(expires_at) AS since FROM credit_lots
         WHERE exhausted_at IS NULL AND expires_at <= :now GROUP BY 1) l
  JOIN accounts a ON a.id = l.account_id
 WHERE a.balance > a.held
 ORDER BY l.since, a.ref LIMIT :limit FOR NO KEY UPDATE OF a SKIP LOCKED
""")


def expire_due(session: Session, *, limit: int = 500) -> int:
    """Post the expiry of every lot past its time on up to `limit` accounts; return how many.

    The most overdue accounts come first. Called by the sweep until none is left. Counts as the
    transaction's one post.
    """
    accounts = set(session.scalars(_DUE, {"now": clock.now(), "limit": limit}))
    if accounts:
        ledger.expire(session, accounts)
    return len(accounts)
