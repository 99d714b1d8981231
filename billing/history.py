"""Reading the ledger: what happened on an account."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from billing.accounts import find
from billing.errors import UnknownAccount
from db.models import CreditTransaction


def history(session: Session, ref: str, *, limit: int) -> Sequence[CreditTransaction]:
    """Return the newest `limit` rows of an account, newest first; raises `UnknownAccount`."""
    account = find(session, ref)
    if account is None:
        raise UnknownAccount(ref)
    return session.scalars(
        select(CreditTransaction)
        .where(CreditTransaction.account_id == account.id)
        .order_by(CreditTransaction.version.desc())
        .limit(limit)
    ).all()
