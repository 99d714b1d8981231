"""Reads of plans and their paid years."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Account, AccountPlan, PlanTerm


def account_with_plan(session: Session, account_id: int) -> tuple[Account, AccountPlan | None]:
    """Return an account and its plan as of one moment; None: it never bought one.

    In two reads, a purchase or a change of zone could come between, and the answer would be of an
    account that never was: a plan without its first credit.
    """
    query = (
        select(Account, AccountPlan)
        .outerjoin(AccountPlan, AccountPlan.account_id == Account.id)
        .where(Account.id == account_id)
        .execution_options(populate_existing=True)
    )
    account, plan = session.execute(query).one()
    return account, plan


def list_terms(session: Session, account_id: int) -> Sequence[PlanTerm]:
    """Return the paid years of an account, the oldest first."""
    query = select(PlanTerm).where(PlanTerm.account_id == account_id).order_by(PlanTerm.number)
    return session.scalars(query).all()


def find_term(session: Session, request_key: str) -> PlanTerm | None:
    """Return the year that was added under a key."""
    return session.scalars(
        select(PlanTerm).where(PlanTerm.request_key == request_key)
    ).one_or_none()
