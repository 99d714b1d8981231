"""Worlds for the tests of plans: an account, its payments, a tick of beat, and its record."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from billing import accounts
from billing.calendar import local_day_of
from billing.payments import IntakeResult, Seen
from billing.plans import enforcement, grants
from billing.plans.calendar import month_after, start_of, years_after
from billing.plans.schedule import grace_end
from db.models import Account, AccountPlan
from db.session import transaction
from tests.billing.given import rows
from tests.billing.payments import given as buying
from tests.conftest import owner

PHARMACY = "pharmacy:7"
KOLKATA = "Asia/Kolkata"
PLAN, RENEWAL = "pharmapulse_one", "plan_renewal"
PRICES = {PLAN: 1_500_000, RENEWAL: 100_000}
MONTHLY = 50_000


def at(text: str) -> datetime:
    """A moment, in UTC unless it names an offset."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def open_pharmacy(ref: str = PHARMACY, *, timezone: str = KOLKATA) -> str:
    with transaction() as session:
        accounts.create(
            session, ref=ref, name="A Pharmacy", product="pharmapulse_one", timezone=timezone
        )
    return ref


def order(name: str, number: int, ref: str = PHARMACY) -> str:
    """An order for a plan or its renewal that can be paid; its id at the gateway."""
    order_id = f"order_{ref}_{number}"
    buying.open_order(order_id, f"op-{order_id}", account=ref, plan=name)
    return order_id


def pay(order_id: str, name: str, *, made_at: datetime | None = None) -> IntakeResult:
    """The payment of an order, made now or earlier."""
    return buying.take_in(
        buying.news(
            Seen.CAPTURED, f"pay_{order_id}", order_id=order_id, amount_paise=PRICES[name],
            happened_at=made_at,
        )
    )  # fmt: skip


def buy(name: str, number: int = 1, ref: str = PHARMACY) -> IntakeResult:
    """Order and pay at once."""
    return pay(order(name, number, ref), name)


_MANY = """
WITH opened AS (
    INSERT INTO accounts (ref, product, name, timezone, head_hash, created_at)
    SELECT ref, 'pharmapulse_one', 'A Pharmacy', 'Asia/Kolkata',
           sha256(convert_to(ref, 'UTF8')), CAST(%(bought)s AS timestamptz)
      FROM (SELECT 'pharmacy:many-' || number AS ref
              FROM generate_series(1, %(number)s) AS number) AS refs
    RETURNING id
)
INSERT INTO account_plans
       (account_id, plan_type, purchased_at, anchor_on, years, service_renewal_next_due,
        grace_ends_at, service_renewal_status, next_step_at, branches, features, monthly_credits,
        next_grant_month, next_grant_at, created_at, updated_at)
SELECT id, 'pharmapulse_one', %(bought)s, %(anchor)s, 1, %(due)s, %(grace)s, 'active', %(step)s,
       1, '{}', 50000, %(month)s, %(begins)s, %(bought)s, %(bought)s
  FROM opened
"""
_THEIR_YEARS = """
INSERT INTO plan_terms
       (account_id, number, kind, request_key, paid_at, starts_on, ends_on, actor, created_at)
SELECT id, 1, 'purchase', 'test:' || ref, %(bought)s, %(anchor)s, %(due_on)s, 'test', %(bought)s
  FROM accounts
"""


def open_many(number: int, *, bought_at: datetime) -> None:
    """Accounts by the thousand, with a plan whose next month is the one after the purchase."""
    anchor = local_day_of(bought_at, KOLKATA)
    month = month_after(anchor.replace(day=1))
    due_on = years_after(anchor, 1)
    values = {
        "number": number,
        "bought": bought_at,
        "anchor": anchor,
        "due_on": due_on,
        "due": start_of(due_on, KOLKATA),
        "grace": grace_end(due_on, KOLKATA),
        "step": start_of(due_on - timedelta(days=30), KOLKATA),
        "month": month,
        "begins": start_of(month, KOLKATA),
    }
    with owner() as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql(_MANY, values)
        connection.exec_driver_sql(_THEIR_YEARS, values)
        connection.exec_driver_sql("ANALYZE accounts, account_plans")


def tick() -> None:
    """Run what beat runs: renewal steps and grants that are due."""
    for one in (_enforce, _grant):
        while one():
            pass


def _enforce() -> int:
    with transaction() as session:
        return enforcement.enforce_due(session).plans


def _grant() -> int:
    with transaction() as session:
        return grants.grant_due(session).accounts


def plan(ref: str = PHARMACY) -> AccountPlan:
    with transaction() as session:
        found = (
            session.query(AccountPlan)
            .join(Account, Account.id == AccountPlan.account_id)
            .filter(Account.ref == ref)
            .one()
        )
        session.expunge(found)
        return found


def months(ref: str = PHARMACY) -> Sequence[str]:
    """The months that were granted, in the order of the ledger."""
    found = rows(
        "SELECT t.idempotency_key FROM credit_transactions t JOIN accounts a ON a.id = t.account_id"
        " WHERE a.ref = :ref AND t.kind = 'grant' ORDER BY t.version",
        ref=ref,
    )
    return [str(key).removeprefix(f"grant:{ref}:") for (key,) in found]


def notices(ref: str = PHARMACY, topic: str = "%") -> Sequence[tuple[object, ...]]:
    """The notices about an account: (topic, days or None, superseded)."""
    return rows(
        "SELECT topic, CAST(payload ->> 'days' AS int), superseded_at IS NOT NULL"
        "  FROM outbox_events WHERE subject = :subject AND topic LIKE :topic ORDER BY id",
        subject=f"account:{ref}",
        topic=topic,
    )
