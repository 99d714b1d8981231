"""Paid years: what one year that was paid does to an account's plan.

`add_year` is the one way in, for a payment (`billing/payments/`) and for an operator
(`billing/plans/manual_years.py`). A year is one row of `plan_terms`, under the key of what paid it:
no key counts twice, and two paid years are two years.

The due date is counted from the anchor, the local day of the purchase, in whole years. A year that
is paid before the grace has ended goes on from the due date; a later one begins on the day it is
paid, which becomes the anchor. A year that was paid before another one on record takes its place
in the order of payment (`billing/plans/late_years.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, instants
from billing.calendar import local_day_of
from billing.catalog import Plan
from billing.ledger import Posting
from billing.plans.calendar import month_after, month_of
from billing.plans.errors import PlanRefused
from billing.plans.grant_months import grant_posting
from billing.plans.offers import sold_fields
from billing.plans.plan_dates import due_day, set_instants
from billing.plans.plan_locks import Owner, load_owners
from billing.plans.queries import find_term, list_terms
from billing.plans.renewal import renew
from billing.plans.renewal_steps import StepLog
from billing.plans.schedule import RenewalStatus
from billing.topics import Topic
from db.errors import DatabaseBusy
from db.models import AccountPlan, Order, Payment, PlanTerm
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


def add_year(
    session: Session, owner: Owner, year: Year, *, plans: dict[int, AccountPlan], actor: str
) -> list[Posting]:
    """Add a year to an account's plan, or begin the plan; return the grants to be posted.

    `plans` are the locked plans (`lock_plans`), to which a new one is added. The postings are the
    month of the purchase, or the months that began before a renewal was paid; none if the key's
    year was added before. Raises `PlanRefused` with its reason; nothing is changed then.
    """
    if find_term(session, year.request_key) is not None:
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


def add_ordered_year(
    session: Session,
    owner: Owner,
    order: Order,
    payment: Payment,
    *,
    plans: dict[int, AccountPlan],
    actor: str,
) -> list[Posting]:
    """Add the year of a locked order that a payment has paid; see `add_year`.

    It counts as paid when the payment was made, by the gateway's clock, however late that becomes
    known.
    """
    assert order.plan is not None  # the caller passes orders for plans only
    now = clock.now()
    paid_at = instants.not_ahead(payment.happened_at or now, known_at=now)
    year = Year(order.plan, max(paid_at, order.created_at), payment_key(payment))
    postings = add_year(session, owner, year, plans=plans, actor=actor)
    order.plan_applied_at = now
    return postings


def add_attached_year(
    session: Session,
    owner: Owner,
    payment: Payment,
    *,
    plan: str,
    plans: dict[int, AccountPlan],
    actor: str,
) -> list[Posting]:
    """Add the year that an operator gives for a locked payment; see `add_year`.

    It counts as paid when the payment was made.
    """
    paid_at = instants.not_ahead(payment.happened_at or payment.created_at, known_at=clock.now())
    year = Year(plan, paid_at, payment_key(payment))
    return add_year(session, owner, year, plans=plans, actor=actor)


def payment_key(payment: Payment) -> str:
    """Return the key of the year that a payment brings."""
    return f"{payment.gateway}:{payment.gateway_payment_id}:plan"


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
        service_renewal_status=RenewalStatus.ACTIVE.value,
        stepped_to=None,
        next_grant_month=month_after(month),
        created_at=now,
        updated_at=now,
        **sold_fields(sold),
    )
    set_instants(plan, owner.timezone)
    if not _insert(session, plan):
        raise PlanRefused(owner.ref, BOUGHT_ALREADY)  # by another transaction, a moment ago
    # A plan that was not there could not be locked: the account may have got another zone.
    if load_owners(session, [owner.id])[owner.id].timezone != owner.timezone:
        raise DatabaseBusy(f"{owner.ref} got another time zone a moment ago; try again")
    plan = plans[owner.id] = session.get_one(AccountPlan, owner.id)
    _record(session, owner, year, plan, StepLog(), before=None, starts_on=anchor, actor=actor)
    if not plan.monthly_credits:
        return []
    return [grant_posting(owner.ref, plan, month, event_at=year.paid_at)]


def _renew(
    session: Session, owner: Owner, year: Year, plan: AccountPlan, actor: str
) -> list[Posting]:
    before, log = _audited_fields(plan), StepLog()
    terms = list_terms(session, owner.id)
    starts_on, postings = renew(session, owner, plan, paid_at=year.paid_at, terms=terms, log=log)
    _record(session, owner, year, plan, log, before=before, starts_on=starts_on, actor=actor)
    return postings


def _insert(session: Session, plan: AccountPlan) -> bool:
    """Insert a plan; return False if the account already has one."""
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
    log: StepLog,
    *,
    before: Mapping[str, object] | None,
    starts_on: date,
    actor: str,
) -> None:
    """Write the row of the year, and with the steps of `log` its audit entry and its notice."""
    number = 1 + (
        session.scalar(select(func.max(PlanTerm.number)).where(PlanTerm.account_id == owner.id))
        or 0
    )
    kind = "purchase" if before is None else "renewal"
    term = PlanTerm(
        account_id=owner.id,
        number=number,
        kind=kind,
        request_key=year.request_key,
        paid_at=year.paid_at,
        starts_on=starts_on,
        ends_on=due_day(plan),
        actor=actor,
        created_at=clock.now(),
    )
    session.add(term)
    topic = Topic.PLAN_ACTIVATED if before is None else Topic.PLAN_RENEWED
    subject = f"account:{owner.ref}"
    after = _audited_fields(plan) | {"paid_at": year.paid_at.isoformat(), "by": year.request_key}
    log.changes.append(audit.Change(subject, topic.value, before, after))
    payload = {"account": owner.ref, **after, "by": _payer(year.request_key)}
    log.add_year(NewNotice(topic, subject, owner.id, payload))
    log.write(session)
    session.flush()


def _payer(request_key: str) -> str:
    """Return the payment that paid a year, or `admin`: an operator's key stays in our books."""
    return "admin" if request_key.startswith("admin:") else request_key


def _audited_fields(plan: AccountPlan) -> dict[str, object]:
    return {
        "plan_type": plan.plan_type,
        "service_renewal_status": plan.service_renewal_status,
        "service_renewal_next_due": plan.service_renewal_next_due.isoformat(),
        "due_on": due_day(plan).isoformat(),
    }
