"""Orders: recorded before the gateway is asked, and what the gateway answered.

States: `requested` (the gateway is being asked), `unknown` (its answer was lost), `open`, `paid`,
`refused` (by the gateway, or the gateway never received it), `expired` (nobody paid). An order in
any other state can still become `paid`; only `billing/payments/intake.py` marks it so.

Called by `tasks/payments/checkout.py`, which calls the gateway between two of these functions,
never inside a transaction. Orders are locked before payments and accounts. Orders that are not
settled are asked about again: `billing/payments/inquiries.py`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import get_args

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, plans
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.payments import pricing
from billing.payments.errors import OrderAtOdds
from billing.payments.facts import GatewayName, OrderFacts
from billing.payments.pricing import CURRENCY, Quote
from db.models import Account, Order
from service.disclosure import shown_error

UNANSWERED_STATES = ("requested", "unknown")
"""States in which nobody knows whether the gateway has the order."""
UNOPENED_STATES = (*UNANSWERED_STATES, "refused")
"""States of an order that opens once the gateway turns out to have it."""
ANSWER_WITHIN = timedelta(minutes=2)
"""An order without an answer after this time is looked up at the gateway."""
RETRY_AFTER = timedelta(minutes=1)
"""When to ask again after the gateway did not answer."""
_ERROR_MAX_LENGTH = 500
GATEWAYS: tuple[GatewayName, ...] = get_args(GatewayName)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a caller wants to buy: one of package, amount and plan."""

    account: str
    gateway: GatewayName
    package: str | None = None
    amount_paise: int | None = None
    plan: str | None = None
    return_url: str | None = None


def receipt_of(operation_key: str) -> str:
    """Return the receipt of the order that one operation of one caller makes: 36 characters."""
    return f"ord_{sha256(operation_key.encode()).hexdigest()[:32]}"


def create(
    session: Session, request: OrderRequest, *, actor: str, operation_key: str
) -> tuple[Order, bool]:
    """Record an order and return it, and whether it is new; an operation key makes one order.

    A repeat returns the order as it was priced, whatever the catalog says by now. Raises
    `UnknownAccount`, `InvalidOrder`, or `IdempotencyConflict` if the key has made another order.
    """
    account = session.scalars(select(Account).where(Account.ref == request.account)).one_or_none()
    if account is None:
        raise UnknownAccount(request.account)
    receipt = receipt_of(operation_key)
    before = session.scalars(select(Order).where(Order.receipt == receipt)).one_or_none()
    if before is not None:
        _require_same(before, account, request)
        return before, False
    price = pricing.quote(
        account.product,
        package=request.package,
        amount_paise=request.amount_paise,
        plan=request.plan,
    )
    if request.plan is not None:
        plans.require_sold(session, account, request.plan)
    is_new = _insert(session, account, request, price, receipt=receipt, actor=actor)
    order = session.scalars(select(Order).where(Order.receipt == receipt)).one()
    if not is_new:
        _require_same(order, account, request)
        return order, False
    audit.record(
        session,
        "order.requested",
        subject_of(order),
        before=None,
        after={
            "account": account.ref,
            "gateway": request.gateway,
            "amount_paise": price.amount_paise,
            "credits": price.credits,
            "bonus_credits": price.bonus_credits,
            "plan": request.plan,
        },
    )
    return order, True


def record_opened(
    session: Session, order_id: int, facts: OrderFacts, *, late: bool = False
) -> Order:
    """Record the gateway's order and return ours; a repeat changes nothing.

    Raises `OrderAtOdds` if the amount or currency is not what was ordered. An order that is found
    `late`, by our receipt, is accepted all the same: the gateway may have applied a discount since,
    and the amount of its payments is checked anyway.
    """
    order = lock(session, order_id)
    order.last_error = None  # there is an answer: nobody has to look
    if order.gateway_order_id is None:
        same = (facts.amount_paise, facts.currency) == (order.amount_paise, order.currency)
        if not same and not late:
            raise OrderAtOdds(order.receipt)
        order.gateway_order_id = facts.order_id
        order.checkout_url = facts.checkout_url
    if order.state in UNOPENED_STATES:
        wait = timedelta(minutes=catalog.get().payments.ask_after_minutes)
        move(session, order, "open", next_ask_at=clock.now() + wait)
        order.asks = 0
    if facts.ended and order.state == "open":
        move(session, order, "expired", next_ask_at=None)
    return order


def record_unanswered(session: Session, order_id: int, error: Exception) -> None:
    """Record that nobody knows whether the gateway opened the order: the sweep looks it up."""
    order = lock(session, order_id)
    if order.state == "requested":
        move(session, order, "unknown", next_ask_at=clock.now() + RETRY_AFTER)
    set_last_error(order, error)


def record_refused(session: Session, order_id: int, error: Exception) -> None:
    """Record that the gateway does not have the order and will not get it."""
    order = lock(session, order_id)
    if order.state in UNANSWERED_STATES:
        move(session, order, "refused", next_ask_at=None)
    order.next_ask_at = None
    set_last_error(order, error)


def find_with_account(session: Session, gateway_order_id: str) -> tuple[Order, Account] | None:
    """Return the order with this id of the gateway, and its account; or None.

    If two gateways have the id, the newest.
    """
    row = session.execute(
        select(Order, Account)
        .join(Account, Account.id == Order.account_id)
        # The gateways by name, so that their unique index is used.
        .where(Order.gateway.in_(GATEWAYS), Order.gateway_order_id == gateway_order_id)
        .order_by(Order.id.desc())
        .limit(1)
    ).one_or_none()
    return row and (row[0], row[1])


def lock(session: Session, order_id: int) -> Order:
    """Return the order as it is now, locked to the end of the transaction."""
    return session.scalars(
        select(Order)
        .where(Order.id == order_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def move(session: Session, order: Order, state: str, *, next_ask_at: datetime | None) -> None:
    """Take a locked order to another state, with an entry in the audit log."""
    before, order.state = order.state, state
    order.next_ask_at = next_ask_at
    order.updated_at = clock.now()
    audit.record(
        session,
        f"order.{state}",
        subject_of(order),
        before={"state": before},
        after={"state": state, "gateway_order_id": order.gateway_order_id},
    )


def set_last_error(order: Order, error: Exception) -> None:
    """Keep an error in the order's row."""
    order.last_error = shown_error(error)[:_ERROR_MAX_LENGTH]


def subject_of(order: Order) -> str:
    """Return the name of an order in the audit log."""
    return f"order:{order.receipt}"


def _insert(
    session: Session,
    account: Account,
    request: OrderRequest,
    price: Quote,
    *,
    receipt: str,
    actor: str,
) -> bool:
    """Insert the order and return True; False: another transaction has made it meanwhile."""
    now = clock.now()
    inserted = session.scalar(
        insert(Order)
        .values(
            account_id=account.id,
            gateway=request.gateway,
            receipt=receipt,
            package=request.package,
            plan=request.plan,
            amount_paise=price.amount_paise,
            currency=CURRENCY,
            credits=price.credits,
            bonus_credits=price.bonus_credits,
            state="requested",
            return_url=request.return_url,
            requested_by=actor,
            created_at=now,
            updated_at=now,
            next_ask_at=now + ANSWER_WITHIN,
        )
        .on_conflict_do_nothing(index_elements=[Order.receipt])
        .returning(Order.id)
    )
    return inserted is not None


def _require_same(order: Order, account: Account, request: OrderRequest) -> None:
    pairs: dict[str, tuple[object, object]] = {
        "account": (order.account_id, account.id),
        "gateway": (order.gateway, request.gateway),
        "plan": (order.plan, request.plan),
        "package": (order.package, request.package),
    }
    if request.amount_paise is not None:  # else it is the catalog's, and may have changed since
        pairs["amount_paise"] = (order.amount_paise, request.amount_paise)
    differences = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if differences:
        raise IdempotencyConflict(subject_of(order), differences)
