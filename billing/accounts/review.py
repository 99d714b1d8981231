"""Accounts that a person should review: flagged with a reason, otherwise unrestricted.

An account has one reason at a time. A chargeback outranks a refunded plan, and both outrank the
rate of disputes, whose sweep flags the account again if it is still too high. Called by
`billing/returns/chargebacks.py`, `billing/plans/refunded_plans.py` and
`billing/disputes/quality.py`; by `billing accounts reviewed` after the review.
"""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.errors import InvalidReason, UnknownAccount
from billing.text import DESCRIPTION_MAX_LENGTH, problem_with
from db import outbox
from db.models import Account
from db.outbox import NewNotice

CHARGEBACK = "chargeback"
PLAN_REFUNDED = "plan_refunded"
DISPUTES_MOST_LEADS = "disputes_most_leads"
_RANK = {None: 0, DISPUTES_MOST_LEADS: 1, PLAN_REFUNDED: 2, CHARGEBACK: 3}


def flag(
    session: Session, account_id: int, reason: str, *, more: Mapping[str, object] | None = None
) -> bool:
    """Flag an account and write a notice, with `more` in it. Locks the account.

    Returns False and does nothing if it has the same or a higher reason.
    """
    account = lock(session, account_id)
    if _RANK[account.review_reason] >= _RANK[reason]:
        return False
    _change(session, account, reason)
    notice = NewNotice(
        "account.review",
        f"account:{account.ref}",
        account.id,
        {"account": account.ref, "review_reason": reason, **(more or {})},
    )
    outbox.write(session, [notice], now=clock.now())
    return True


def clear(session: Session, account_id: int, reason: str) -> bool:
    """Remove the flag with this `reason`; return False if the account has another or none."""
    account = lock(session, account_id)
    if account.review_reason != reason:
        return False
    _change(session, account, None)
    return True


def end_review(session: Session, ref: str, *, found: str, actor: str) -> Account:
    """Remove an account's flag, whatever its reason, and return the account.

    `found` is what the review found, for auditors. A new event or the next check of its disputes
    may flag the account again. Without a flag, nothing happens. Raises `UnknownAccount` or
    `InvalidReason`. Locks the account.
    """
    problem = problem_with(found, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    account_id = session.scalar(select(Account.id).where(Account.ref == ref))
    if account_id is None:
        raise UnknownAccount(ref)
    account = lock(session, account_id)
    if account.review_reason is not None:
        _change(session, account, None, found=found, by=actor)
    return account


def lock(session: Session, account_id: int) -> Account:
    """Lock the account to the end of the transaction, and return it as it is now."""
    return session.scalars(
        select(Account)
        .where(Account.id == account_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()


def _change(session: Session, account: Account, reason: str | None, **more: str) -> None:
    before, account.review_reason = account.review_reason, reason
    audit.record(
        session,
        "account.review" if reason else "account.review_ended",
        f"account:{account.ref}",
        before={"review_reason": before},
        after={"review_reason": reason, **more},
    )
    session.flush()
