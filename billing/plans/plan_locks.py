"""Locks on plans by account. Plans are locked before payments and accounts, in order of their id.

Used by all that pays for plans or moves them: payments, manual years, changes of zone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Account, AccountPlan


@dataclass(frozen=True, slots=True)
class Owner:
    """The account of a plan, as far as its calendar needs it."""

    id: int
    ref: str
    timezone: str


def lock_plans(session: Session, account_ids: Iterable[int]) -> dict[int, AccountPlan]:
    """Lock the plans of these accounts; return them as they are now, by account id."""
    wanted = sorted(set(account_ids))
    if not wanted:
        return {}
    plans = session.scalars(
        select(AccountPlan)
        .where(AccountPlan.account_id.in_(wanted))
        .order_by(AccountPlan.account_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {plan.account_id: plan for plan in plans}


def load_owners(session: Session, account_ids: Iterable[int]) -> dict[int, Owner]:
    """Return the accounts by id. A zone does not change while the account's plan is locked."""
    found = session.execute(
        select(Account.id, Account.ref, Account.timezone).where(Account.id.in_(account_ids))
    )
    return {account_id: Owner(account_id, ref, timezone) for account_id, ref, timezone in found}
