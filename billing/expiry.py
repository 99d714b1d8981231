"""Finding the accounts whose credit is past its time; `billing/ledger.py` lets it expire."""

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import ledger

# What open holds need stays: such an account is due again when they end.
_DUE = text("""
SELECT a.ref
  FROM credit_lots l JOIN accounts a ON a.id = l.account_id
 WHERE l.exhausted_at IS NULL AND l.expires_at <= :now AND a.balance > a.held
 GROUP BY a.ref ORDER BY min(l.expires_at), a.ref
 LIMIT :limit
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
