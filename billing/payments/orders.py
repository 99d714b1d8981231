"""Orders: the wish to buy, recorded before the gateway is asked, and what became of it.

States: `requested` (the gateway is being asked), `unknown` (its answer was lost), `open`, `paid`,
`refused` (by the gateway, or it never heard of it), `expired` (nobody paid). Every state but
`paid` can still become `paid`: money that comes is looked at by `billing/payments/intake.py` alone.

Called by `tasks/payments/checkout.py` and `tasks/payments/inquiry.py`, which call the gateway
between two of these functions, never inside a transaction. Whoever locks orders does so before
payments and accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, plans
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.payments import pricing as top_ups
from billing.payments.errors import OrderAtOdds
from billing.payments.facts import GatewayName, OrderFacts
from db.models import Account, Order

CURRENCY = "INR"
NEVER_OPENED = ("requested", "unknown")
"""States in which the gateway may or may not know the order."""
SETTLED = ("paid", "refused", "expired")
ANSWER_WITHIN = timedelta(minutes=2)
"""An order that has no answer by then is looked for at the gateway."""
FORGOTTEN_AFTER = timedelta(minutes=10)
"""An order so old that the gateway does not know was never opened there: no call is under way."""
LONGEST_INTERVAL = timedelta(days=1)
LAST_LOOK = timedelta(days=1)
"""After an order was paid: a second payment on it of which no webhook ever told is found then."""
ASK_AGAIN = timedelta(minutes=1)
"""After an ask that the gateway did not answer."""
UNANSWERED_FOR = timedelta(days=30)
"""No outage is as long: an order still without a clear answer then has something of its own."""
_ERROR_MAX_LENGTH = 500


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


def request(
    session: Session, wish: OrderRequest, *, actor: str, operation_key: str
) -> tuple[Order, bool]:
    """Record the wish and return its order, and whether it is new; once for an operation key.

    Raises `UnknownAccount`, `InvalidOrder`, or `IdempotencyConflict` where the key's order is
    another one.
    """
    account = session.scalars(select(Account).where(Account.ref == wish.account)).one_or_none()
    if account is None:
        raise UnknownAccount(wish.account)
    now, receipt = clock.now(), receipt_of(operation_key)
    before = session.scalars(select(Order).where(Order.receipt == receipt)).one_or_none()
    if before is not None:  # whatever the catalog sells by now
        _require_same(before, account, wish)
        return before, False
    price = top_ups.quote(
        account.product, package=wish.package, amount_paise=wish.amount_paise, plan=wish.plan
    )
    if wish.plan is not None:
        plans.require_sold(session, account, wish.plan)
    created = session.scalar(
        insert(Order)
        .values(
            account_id=account.id,
            gateway=wish.gateway,
            receipt=receipt,
            package=wish.package,
            plan=wish.plan,
            amount_paise=price.amount_paise,
            currency=CURRENCY,
            credits=price.credits,
            bonus_credits=price.bonus_credits,
            state="requested",
            return_url=wish.return_url,
            requested_by=actor,
            created_at=now,
            updated_at=now,
            next_ask_at=now + ANSWER_WITHIN,
        )
        .on_conflict_do_nothing(index_elements=[Order.receipt])
        .returning(Order.id)
    )
    order = session.scalars(select(Order).where(Order.receipt == receipt)).one()
    if created is None:
        _require_same(order, account, wish)
        return order, False
    audit.record(
        session,
        "order.requested",
        subject(order),
        before=None,
        after={
            "account": account.ref,
            "gateway": wish.gateway,
            "amount_paise": price.amount_paise,
            "credits": price.credits,
            "bonus_credits": price.bonus_credits,
            "plan": wish.plan,
        },
    )
    return order, True


def opened(session: Session, order_id: int, facts: OrderFacts, *, late: bool = False) -> Order:
    """Take note of the gateway's order and return ours; again, it changes nothing.

    Raises `OrderAtOdds` where it is of another amount; but not of an order that is found `late`, by
    our receipt: a discount may have changed it there since, and what is paid is looked at anyway.
    """
    order = lock(session, order_id)
    if order.gateway_order_id is None:
        same = (facts.amount_paise, facts.currency) == (order.amount_paise, order.currency)
        if not same and not late:
            raise OrderAtOdds(order.receipt)
        order.gateway_order_id = facts.order_id
        order.checkout_url = facts.checkout_url
    if order.state in {*NEVER_OPENED, "refused"}:
        waits = timedelta(minutes=catalog.get().payments.ask_after_minutes)
        move(session, order, "open", next_ask_at=clock.now() + waits)
        order.asks = 0
    if facts.ended and order.state == "open":
        move(session, order, "expired", next_ask_at=None)
    return order


def unanswered(session: Session, order_id: int, error: Exception) -> None:
    """Take note that nobody knows whether the gateway opened the order: the sweep will look."""
    order = lock(session, order_id)
    if order.state == "requested":
        move(session, order, "unknown", next_ask_at=clock.now() + ASK_AGAIN)
    order.last_error = _told(error)


def refused(session: Session, order_id: int, error: Exception) -> None:
    """Take note that the gateway has no such order and will have none."""
    order = lock(session, order_id)
    if order.state in NEVER_OPENED:
        move(session, order, "refused", next_ask_at=None)
    order.next_ask_at = None
    order.last_error = _told(error)


def asked(session: Session, order_id: int, facts: OrderFacts, *, in_doubt: bool = False) -> None:
    """Take note of the gateway's answer to a question about an order, its payments taken in.

    `in_doubt`: a payment of it may still be captured. Else a settled order is not asked about
    again; and none is for ever.
    """
    order = opened(session, order_id, facts, late=True)
    if _is_given_up(order):
        _give_up(session, order)
    elif order.state in SETTLED and not in_doubt:
        order.next_ask_at = None


def failed(session: Session, order_id: int, error: Exception) -> None:
    """Take note of what is wrong with an order; it is asked about again at its next time.

    But not for ever: what is still wrong when others are given up will not mend itself.
    """
    order = lock(session, order_id)
    order.last_error = _told(error)
    if _is_given_up(order):
        _give_up(session, order)


def ask_within(order: Order, wait: timedelta) -> None:
    """Have the gateway asked about a locked order by then, unless it is asked earlier anyway."""
    soon = clock.now() + wait
    if order.next_ask_at is None or order.next_ask_at > soon:
        order.next_ask_at = soon


def lease_due(session: Session, *, gateway: str, limit: int) -> Sequence[Order]:
    """Return orders to ask the gateway about now; each comes again later, in growing intervals.

    Commit before asking: two processes never ask about one order at once, and an order that
    kills its process comes again at its next time.
    """
    now = clock.now()
    due = session.scalars(
        select(Order)
        .where(Order.next_ask_at <= now, Order.gateway == gateway)
        .order_by(Order.next_ask_at, Order.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for order in due:
        order.next_ask_at = now + _interval(order, now)
        order.asks += 1
    return due


def not_answered(session: Session, order_id: int, error: Exception) -> None:
    """Take note that the gateway did not answer about an order: again soon, not at once."""
    order = lock(session, order_id)
    order.last_error = _told(error)
    if clock.now() - order.created_at > UNANSWERED_FOR:
        _give_up(session, order)
    elif order.next_ask_at is not None:
        ask_within(order, min(ASK_AGAIN * order.asks, 10 * ASK_AGAIN))


_POSTPONE = text("""
UPDATE billing_orders SET next_ask_at = :until
 WHERE id IN (SELECT id FROM billing_orders WHERE gateway = :gateway AND next_ask_at < :until
               ORDER BY id FOR UPDATE SKIP LOCKED)
""")


def postpone(session: Session, gateway: str) -> None:
    """Leave a gateway that does not answer alone for a minute."""
    session.execute(_POSTPONE, {"gateway": gateway, "until": clock.now() + ASK_AGAIN})


def is_forgotten(order: Order) -> bool:
    """Tell whether an order that the gateway does not know is too old to be opened yet."""
    return clock.now() - order.created_at >= FORGOTTEN_AFTER


def find(session: Session, gateway_order_id: str) -> tuple[Order, Account] | None:
    """Return the order with this id of the gateway's, and its account; None where there is none."""
    row = session.execute(
        select(Order, Account)
        .join(Account, Account.id == Order.account_id)
        .where(Order.gateway_order_id == gateway_order_id)
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
    """Take a locked order to another state, with its entry in the audit log."""
    before, order.state = order.state, state
    order.next_ask_at = next_ask_at
    order.updated_at = clock.now()
    audit.record(
        session, f"order.{state}", subject(order), before={"state": before},
        after={"state": state, "gateway_order_id": order.gateway_order_id},
    )  # fmt: skip


def subject(order: Order) -> str:
    """Return what the audit log calls an order."""
    return f"order:{order.receipt}"


def _is_given_up(order: Order) -> bool:
    # Days, since a payment that failed may come to life late.
    return clock.now() - order.created_at > timedelta(
        days=catalog.get().payments.give_up_after_days
    )


def _give_up(session: Session, order: Order) -> None:
    if order.state == "open":
        move(session, order, "expired", next_ask_at=None)
    elif order.state in NEVER_OPENED:
        move(session, order, "refused", next_ask_at=None)
    order.next_ask_at = None


def _interval(order: Order, now: datetime) -> timedelta:
    """Return how long an order is left alone: about as long as it is old, so that it doubles."""
    # By its age and not by how often it was asked about: a gateway that was away for an hour, asked
    # in vain each minute, must not make its orders wait for a day.
    first = ANSWER_WITHIN
    if order.state not in NEVER_OPENED:
        first = timedelta(minutes=catalog.get().payments.ask_after_minutes)
    return min(now - order.created_at + first, LONGEST_INTERVAL)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_ERROR_MAX_LENGTH]


def _require_same(order: Order, account: Account, wish: OrderRequest) -> None:
    pairs: dict[str, tuple[object, object]] = {
        "account": (order.account_id, account.id),
        "gateway": (order.gateway, wish.gateway),
        "plan": (order.plan, wish.plan),
        "package": (order.package, wish.package),
    }
    if wish.amount_paise is not None:  # else it is the catalog's, and may have changed since
        pairs["amount_paise"] = (order.amount_paise, wish.amount_paise)
    differences = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if differences:
        raise IdempotencyConflict(subject(order), differences)
