"""Plans: bought once, paid for year by year; what one year that was paid does to an account's plan.

`pay_year` is the one way in, for a payment (`billing/payments/intake.py`) and for an operator
(`billing plans activate`, `billing plans renew`). A year is one row of `plan_terms`, under the key
of what paid it, so that none is counted twice and two paid years are two years.

The due date is counted from the anchor, the local day of the purchase, in whole years. A year that
is paid before the grace has ended goes on from the due date; a later one begins on the day it is
paid, which is the anchor from then on. One that was paid before another that is on record is put
in its place (`billing/plans/late_years.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import clock
from billing import accounts, audit, catalog
from billing.calendar import local_day_of
from billing.catalog import Plan
from billing.errors import UnknownAccount
from billing.ledger import Posting
from billing.plans import grants
from billing.plans import renewal as plan_renewal
from billing.plans import rows as plan_rows
from billing.plans.calendar import month_after, month_of
from billing.plans.errors import InvalidOrder, PlanRefused
from billing.plans.rows import Owner
from billing.plans.schedule import Status
from db import outbox
from db.errors import DatabaseBusy
from db.models import Account, AccountPlan, Order, Payment, PlanTerm
from db.outbox import NewNotice

BOUGHT_ALREADY = "plan_bought_already"
NO_PLAN = "no_plan_to_renew"
OTHER_PLAN = "renewal_of_another_plan"
NOT_SOLD = "plan_not_in_catalog"


@dataclass(frozen=True, slots=True)
class Year:
    """A year of a plan that was paid for."""

    plan: str
    """What was bought, by its name in the catalog: a plan, or its renewal."""
    paid_at: datetime
    request_key: str
    """`razorpay:pay_X:plan`; each key is one year."""


def pay_year(
    session: Session, owner: Owner, year: Year, *, plans: dict[int, AccountPlan], actor: str
) -> list[Posting]:
    """Add a year to an account's plan, or begin it; return the grants that the caller must post.

    `plans` are the locked plans (`plan_rows.lock`), to which a new one is added. The postings are
    the month of the purchase, or the months that had begun before a renewal was paid; none where
    the key's year was added before. Raises `PlanRefused` with its reason, `plan_bought_already` or
    `no_plan_to_renew`: nothing is changed.
    """
    if session.scalar(select(PlanTerm.id).where(PlanTerm.request_key == year.request_key)):
        return []
    sold = catalog.get().plans.get(year.plan)
    if sold is None:
        raise PlanRefused(owner.ref, NOT_SOLD)
    plan = plans.get(owner.id)
    if sold.renews is None:
        if plan is not None:
            raise PlanRefused(owner.ref, BOUGHT_ALREADY)
        return _begin(session, owner, year, sold, plans, actor)
    if plan is None:
        raise PlanRefused(owner.ref, NO_PLAN)
    if plan.plan_type != sold.renews:
        raise PlanRefused(owner.ref, OTHER_PLAN)
    return _renew(session, owner, year, plan, actor)


def pay_order(
    session: Session,
    owner: Owner,
    order: Order,
    payment: Payment,
    *,
    plans: dict[int, AccountPlan],
    actor: str,
) -> list[Posting]:
    """Add the year that a locked order is for, which its payment has paid; see `pay_year`.

    It counts as paid when the payment was made, by the gateway's clock, however late its news.
    """
    assert order.plan is not None  # noqa: S101 - who asks has looked
    now = clock.now()
    paid_at = min(payment.happened_at or now, now)
    year = Year(order.plan, max(paid_at, order.created_at), key_of(payment))
    postings = pay_year(session, owner, year, plans=plans, actor=actor)
    order.plan_applied_at = now
    return postings


def key_of(payment: Payment) -> str:
    """Return the key of the year that a payment brings."""
    return f"{payment.gateway}:{payment.gateway_payment_id}:plan"


def require_sold(session: Session, account: Account, name: str) -> None:
    """Raise `InvalidOrder` where an account cannot buy this plan, or cannot renew it."""
    sold = catalog.get().plans[name]
    plan = session.get(AccountPlan, account.id)
    if sold.renews is None and plan is not None:
        renewal = renewal_of(plan.plan_type)
        more = f": order {renewal} for a further year" if renewal else ""
        raise InvalidOrder("plan", f"{account.ref} has the plan {plan.plan_type} already{more}")
    if sold.renews is not None and (plan is None or plan.plan_type != sold.renews):
        raise InvalidOrder("plan", f"{account.ref} has no plan to renew: order {sold.renews} first")


def renewal_of(plan_type: str) -> str | None:
    """Return what is ordered for a further year of a plan; None: it is not sold any more."""
    offered = catalog.get().plans.items()
    return next((name for name, sold in offered if sold.renews == plan_type), None)


def with_account(session: Session, account_id: int) -> tuple[Account, AccountPlan | None]:
    """Return an account and its plan as they are now, of one moment; None: it never bought one.

    Read one after the other, a purchase or another zone could come between, and the answer would
    be of an account that never was: a plan without its first credit.
    """
    query = (
        select(Account, AccountPlan)
        .outerjoin(AccountPlan, AccountPlan.account_id == Account.id)
        .where(Account.id == account_id)
        .execution_options(populate_existing=True)
    )
    account, plan = session.execute(query).one()
    return account, plan


def terms_of(session: Session, account_id: int) -> Sequence[PlanTerm]:
    """Return the years that were paid, the oldest first."""
    query = select(PlanTerm).where(PlanTerm.account_id == account_id).order_by(PlanTerm.number)
    return session.scalars(query).all()


def move_to_zone(session: Session, ref: str, timezone: str) -> Account:
    """Give an account another time zone, and its plan the instants of the same days there.

    The next month stays the next month, so that none is granted twice and none skipped. Raises
    `UnknownAccount` or `InvalidAccount`, and `DatabaseBusy` where a plan begins at this moment.
    """
    # Before the account: as everywhere, plans are locked first.
    account = accounts.find(session, ref)
    if account is None:
        raise UnknownAccount(ref)
    plan = plan_rows.lock_plans(session, [account.id]).get(account.id)
    if plan is None:
        accounts.lock_against_references(session, account.id)
        if plan_rows.lock_plans(session, [account.id]):
            raise DatabaseBusy(f"{ref} got a plan a moment ago; try again")
    before = plan_rows.owners(session, [account.id])[account.id].timezone
    account = accounts.set_timezone(session, ref, timezone)
    if plan is not None:
        plan_rows.reckon(plan, timezone, before=before)
        plan.updated_at = clock.now()
    session.flush()
    return account


def _begin(
    session: Session,
    owner: Owner,
    year: Year,
    sold: Plan,
    plans: dict[int, AccountPlan],
    actor: str,
) -> list[Posting]:
    now = clock.now()
    anchor = local_day_of(year.paid_at, owner.timezone)
    month = month_of(year.paid_at, owner.timezone)
    plan = AccountPlan(
        account_id=owner.id,
        plan_type=year.plan,
        purchased_at=year.paid_at,
        anchor_on=anchor,
        years=1,
        service_renewal_status=Status.ACTIVE.value,
        stepped_to=None,
        next_grant_month=month_after(month),
        created_at=now,
        updated_at=now,
        **plan_renewal.terms_of(sold),
    )
    plan_rows.reckon(plan, owner.timezone)
    if not _insert(session, plan):
        raise PlanRefused(owner.ref, BOUGHT_ALREADY)  # by another transaction, a moment ago
    # A plan that was not there could not be locked: the account may have got another zone.
    if plan_rows.owners(session, [owner.id])[owner.id].timezone != owner.timezone:
        raise DatabaseBusy(f"{owner.ref} got another time zone a moment ago; try again")
    plan = plans[owner.id] = session.get_one(AccountPlan, owner.id)
    _record(session, owner, year, plan, before=None, starts_on=anchor, actor=actor)
    if not plan.monthly_credits:
        return []
    return [
        grants.posting(
            owner.ref, month, plan.monthly_credits, plan.plan_type, event_at=year.paid_at
        )
    ]


def _renew(
    session: Session, owner: Owner, year: Year, plan: AccountPlan, actor: str
) -> list[Posting]:
    before = _standing(plan)
    starts_on, postings = plan_renewal.renew(
        session, owner, plan, paid_at=year.paid_at, paid=terms_of(session, owner.id)
    )
    _record(session, owner, year, plan, before=before, starts_on=starts_on, actor=actor)
    return postings


def _insert(session: Session, plan: AccountPlan) -> bool:
    values = {column.key: getattr(plan, column.key) for column in AccountPlan.__table__.columns}
    inserted = session.scalar(
        insert(AccountPlan)
        .values(values)
        .on_conflict_do_nothing(index_elements=[AccountPlan.account_id])
        .returning(AccountPlan.account_id)
    )
    return inserted is not None


def _record(
    session: Session,
    owner: Owner,
    year: Year,
    plan: AccountPlan,
    *,
    before: Mapping[str, object] | None,
    starts_on: date,
    actor: str,
) -> None:
    """Write down the year: its row, for auditors, and for whoever wants to hear of it."""
    number = 1 + (
        session.scalar(select(func.max(PlanTerm.number)).where(PlanTerm.account_id == owner.id))
        or 0
    )
    kind = "purchase" if before is None else "renewal"
    term = PlanTerm(
        account_id=owner.id, number=number, kind=kind, request_key=year.request_key,
        paid_at=year.paid_at, starts_on=starts_on, ends_on=plan_rows.due_on(plan), actor=actor,
        created_at=clock.now(),
    )  # fmt: skip
    session.add(term)
    action = "plan.activated" if before is None else "plan.renewed"
    after = _standing(plan) | {"paid_at": year.paid_at.isoformat(), "by": year.request_key}
    audit.record_all(session, [audit.Change(f"account:{owner.ref}", action, before, after)])
    notice = NewNotice(action, f"account:{owner.ref}", owner.id, {"account": owner.ref, **after})
    outbox.write(session, [notice], now=clock.now())
    session.flush()


def _standing(plan: AccountPlan) -> dict[str, object]:
    return {
        "plan_type": plan.plan_type,
        "service_renewal_status": plan.service_renewal_status,
        "service_renewal_next_due": plan.service_renewal_next_due.isoformat(),
        "due_on": plan_rows.due_on(plan).isoformat(),
    }
