"""Accounts that a person should look at: flagged with a reason, refused nothing."""

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import audit
from db import outbox
from db.models import Account
from db.outbox import NewNotice

CHARGEBACK = "chargeback"
DISPUTES_MOST_LEADS = "disputes_most_leads"


def flag(session: Session, account_id: int, reason: str) -> bool:
    """Flag an account and tell of it; False where it is flagged already. Locks it."""
    account = _lock(session, account_id)
    if account.review_reason is not None:
        return False
    _change(session, account, reason)
    notice = NewNotice(
        "account.review", f"account:{account.ref}", account.id,
        {"account": account.ref, "reason": reason},
    )  # fmt: skip
    outbox.write(session, [notice], now=clock.now())
    return True


def clear(session: Session, account_id: int, reason: str) -> bool:
    """Take the flag away that was set for `reason`; False where another stands, or none."""
    account = _lock(session, account_id)
    if account.review_reason != reason:
        return False
    _change(session, account, None)
    return True


def _lock(session: Session, account_id: int) -> Account:
    return session.scalars(
        select(Account)
        .where(Account.id == account_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()


def _change(session: Session, account: Account, reason: str | None) -> None:
    before, account.review_reason = account.review_reason, reason
    audit.record(
        session, "account.review", f"account:{account.ref}",
        before={"review_reason": before}, after={"review_reason": reason},
    )  # fmt: skip
    session.flush()
