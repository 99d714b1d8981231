"""The sweep for credit past its time; `billing/ledger/writer.py` posts the expiry."""

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing.ledger import writer

# An account whose open holds need the credit is due again when they end. A locked account is left
# for the next sweep, so that the others do not wait for it.
_DUE = text("""
SELECT a.ref
  FROM (SELECT account_id, min(expires_at) AS since FROM credit_lots
         WHERE exhausted_at IS NULL AND expires_at <= :now GROUP BY 1) l
  JOIN accounts a ON a.id = l.account_id
 WHERE a.balance > a.held
 ORDER BY l.since, a.ref LIMIT :limit FOR NO KEY UPDATE OF a SKIP LOCKED
""")


def expire_due(session: Session, *, limit: int = 500) -> int:
    """Post the expiry of every lot past its time on up to `limit` accounts; return their number.

    The most overdue accounts come first. The sweep calls it until none is left. Counts as the
    transaction's one post.
    """
    accounts = set(session.scalars(_DUE, {"now": clock.now(), "limit": limit}))
    if accounts:
        writer.expire_lots(session, accounts)
    return len(accounts)
