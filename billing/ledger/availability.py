"""What an account can spend: the one rule, for a loaded account and for SQL.

Whoever asks whether credit suffices reads it here: `post`, leads, accounts, clawbacks.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock


def available(*, balance: int, held: int, overdraft_limit: int) -> int:
    """Return the credits that can be spent: the balance less what is held, plus the overdraft.

    Credit past its time counts until it has expired, as it does before each post.
    """
    return balance - held + overdraft_limit


# What the next post lets expire: credit past its time, but never what open holds need.
_EXPIRES = """least(greatest(a.balance - a.held, 0),
   (SELECT coalesce(sum(e.remaining), 0) FROM credit_lots e
     WHERE e.account_id = a.id AND e.exhausted_at IS NULL AND e.expires_at <= :now))"""

AVAILABLE = f"(a.balance - a.held + a.overdraft_limit - {_EXPIRES})"
"""SQL: what account `a` can spend at `:now`, less what the next post lets expire."""

_UNSPENT = text(f"""
SELECT greatest({AVAILABLE} - a.overdraft_limit, 0)::bigint FROM accounts a WHERE a.id = :account
""")


def unspent(session: Session, account_id: int) -> int:
    """Return the credits that an account has left now: what is available without the overdraft.

    Zero if it is in debt. To rely on it, lock the account in a statement before.
    """
    return int(session.scalars(_UNSPENT, {"account": account_id, "now": clock.now()}).one())
