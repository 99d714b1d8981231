"""Finding the accounts whose credit is past its time; `billing/ledger.py` lets it expire."""

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import ledger

_DUE = text("""
SELECT DISTINCT a.ref
  FROM (SELECT account_id FROM credit_lots
         WHERE exhausted_at IS NULL AND expires_at <= :now ORDER BY expires_at) l
  JOIN accounts a ON a.id = l.account_id
 -- What open holds need stays: such an account is due again when they end.
 WHERE a.balance > a.held
 LIMIT :limit
""")


def expire_due(session: Session, *, limit: int = 500) -> int:
    """Post the expiry of every lot past its time on up to `limit` accounts; return how many.

    Called by the sweep until none is left. Counts as the transaction's one post.
    """
    accounts = set(session.scalars(_DUE, {"now": clock.now(), "limit": limit}))
    if accounts:
        ledger.expire(session, accounts)
    return len(accounts)
