"""Accounts that a person should look at: flagged with a reason, refused nothing.

One reason stands at a time. A chargeback outranks the others, and a plan whose money is back the
rate of disputes, whose sweep flags the account again where that is still so afterwards. Called by
`billing/returns/chargebacks.py`, `billing/plans/refunded_plans.py` and
`billing/disputes/quality.py`; by `billing accounts reviewed` once a person has looked.
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
    """Flag an account and tell of it, with `more`; False where such a reason stands. Locks it."""
    account = lock(session, account_id)
    if _RANK[account.review_reason] >= _RANK[reason]:
        return False
    _change(session, account, reason)
    notice = NewNotice(
        "account.review", f"account:{account.ref}", account.id,
        {"account": account.ref, "review_reason": reason, **(more or {})},
    )  # fmt: skip
    outbox.write(session, [notice], now=clock.now())
    return True


def clear(session: Session, account_id: int, reason: str) -> bool:
    """Take the flag away that was set for `reason`; False where another stands, or none."""
    account = lock(session, account_id)
    if account.review_reason != reason:
        return False
    _change(session, account, None)
    return True


def reviewed(session: Session, ref: str, *, found: str, actor: str) -> Account:
    """Take an account's flag away, whatever it was set for, and return it; `found` is for auditors.

    What flags it again is something new, or the next look at its disputes. Nothing happens where no
    flag stands. Raises `UnknownAccount` or `InvalidReason`. Locks the account.
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
    """Return the account as it is now, locked to the end of the transaction."""
    return session.scalars(
        select(Account)
        .where(Account.id == account_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()


def _change(session: Session, account: Account, reason: str | None, **more: str) -> None:
    before, account.review_reason = account.review_reason, reason
    audit.record(
        session, "account.review" if reason else "account.review_ended", f"account:{account.ref}",
        before={"review_reason": before}, after={"review_reason": reason, **more},
    )  # fmt: skip
    session.flush()
