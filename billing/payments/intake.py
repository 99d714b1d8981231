r"""Payments: what the gateways say of them, and the credit that a captured one brings, once.

`take_in` is the one way in. A webhook, the browser's word, an answer to a question and an
operator all come to it with facts, in any order and any number, and end in the same state:

    created -> authorized -> captured -> partially_refunded -> refunded
          \-> failed ------/    (a failed payment may be authorized late)

Captured money whose order is not known is `unmatched` until the order is; money that is not what
was ordered (`amount_mismatch`, `currency_mismatch`), or comes for an order that is paid
(`order_paid_already`), is `quarantined`: visible, never credited by itself. A trigger of the
database refuses every other transition.

A payment for a plan adds a year to it (`billing/plans/terms.py`); one that finds nothing to add it
to is quarantined as well.

Locks, in this order: orders by id, plans by account, payments by the gateway's id, accounts by id
(the ledger's).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, plans
from billing.leads import Released
from billing.ledger import Posting
from billing.payments import inquiries, locks, orders
from billing.payments.change_log import NOTIFIED_STATES, audit_change, notice_of
from billing.payments.credit_posting import CreditedPayment, post_credit
from billing.payments.facts import GatewayName, PaymentFacts, Seen
from billing.plans import Owner, PlanRefused
from db import outbox
from db.models import AccountPlan, Order, Payment

_UNSETTLED = ("created", "authorized", "failed", "unmatched")
"""States from which the news that the money was captured leads on."""
IN_DOUBT_STATES = ("created", "authorized", "failed")
"""States of money that may still be captured, of an order that is paid as well."""


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What came of one call."""

    states: list[str]
    """The state of each fact's payment, in the order of the facts."""
    credited: list[CreditedPayment]
    released: list[Released]
    """Parked leads that the credit paid for."""


def take_in_payments(
    session: Session,
    facts: Sequence[PaymentFacts],
    *,
    actor: str,
    also: Sequence[tuple[GatewayName, str]] = (),
) -> IntakeResult:
    """Bring the payments up to what the gateways say, and credit those that are captured.

    `also` are payments (gateway, its id) that the caller goes on to lock in this transaction: they
    are locked with the others, before an account is.

    Posts at most once. What is credited, is credited in this transaction with its bonus; debt is
    paid and parked leads are charged in it.
    """
    if not facts and not also:
        return IntakeResult([], [], [])
    batch = _Batch(session, actor, clock.now())
    batch.lock(facts, also)
    for fact in facts:
        batch.learn(fact)
    credited, released = batch.credit()
    batch.tell()
    states = [batch.payments[f.gateway, f.payment_id].state for f in facts]
    return IntakeResult(states, credited, released)


@dataclass
class _Batch:
    """The payments of one call, locked, and what is found out about them."""

    session: Session
    actor: str
    now: datetime
    payments: dict[tuple[str, str], Payment] = field(default_factory=dict)
    before: dict[int, tuple[str, int] | None] = field(default_factory=dict)
    """Payment id -> state and refunded paise when it was locked; None: it is new."""
    orders: dict[int, Order] = field(default_factory=dict)
    by_name: dict[tuple[str, str], Order] = field(default_factory=dict)
    """(gateway, its id or our receipt) -> order."""
    owners: dict[int, Owner] = field(default_factory=dict)
    """The orders' accounts, by id."""
    refs: dict[int, str] = field(default_factory=dict)
    """Account id -> reference."""
    paid: list[Payment] = field(default_factory=list)
    plans: dict[int, AccountPlan] = field(default_factory=dict)
    """Account id -> its plan, where one of the orders is for a plan."""
    grants: list[Posting] = field(default_factory=list)
    """What the plans bring that were paid for."""

    def lock(
        self, facts: Sequence[PaymentFacts], also: Sequence[tuple[GatewayName, str]] = ()
    ) -> None:
        """Lock the orders of the facts, then all payments; a payment not known is made."""
        self._lock_orders(facts)
        every = [*facts, *(locks.bare_facts(*payment) for payment in also)]
        new = locks.add_missing_payments(self.session, every, now=self.now)
        mine = {(fact.gateway, fact.payment_id) for fact in facts}
        for payment in locks.lock_payments(self.session, every):
            if (payment.gateway, payment.gateway_payment_id) not in mine:
                continue
            self.payments[payment.gateway, payment.gateway_payment_id] = payment
            self.before[payment.id] = None if payment.id in new else _standing(payment)

    def _lock_orders(self, facts: Sequence[PaymentFacts]) -> None:
        for order in locks.lock_orders(self.session, facts):
            self.orders[order.id] = order
            self.by_name[order.gateway, order.receipt] = order
            self.by_name[order.gateway, order.gateway_order_id or order.receipt] = order
        accounts = {order.account_id for order in self.orders.values()}
        with_plan = {o.account_id for o in self.orders.values() if o.plan is not None}
        self.plans = plans.lock_plans(self.session, with_plan)
        # After the plans are locked: until then an account may be given another zone.
        self.owners = plans.owners(self.session, accounts)
        self.refs = {owner.id: owner.ref for owner in self.owners.values()}

    def learn(self, fact: PaymentFacts) -> None:
        """Bring one payment up to one fact."""
        payment = self.payments[fact.gateway, fact.payment_id]
        order, before = self._order_of(payment, fact), payment.state
        _note(payment, fact)
        match fact.seen:
            case Seen.FAILED if payment.state in {"created", "authorized"}:
                payment.state = "failed"
            case Seen.AUTHORIZED if payment.state in {"created", "failed"}:
                payment.state = "authorized"
            case Seen.RETURNED if payment.state in {"created", "authorized", "failed"}:
                payment.state, payment.refunded_paise = "refunded", payment.amount_paise
            case Seen.CAPTURED if payment.state in _UNSETTLED:
                self._settle(payment, order)
        _note_refunds(payment, fact)
        if order is not None and payment.state in IN_DOUBT_STATES and payment.state != before:
            inquiries.ask_within(order, _patience(payment))

    def _order_of(self, payment: Payment, fact: PaymentFacts) -> Order | None:
        """Return the order that the payment is for, and remember it on both."""
        order = self.orders.get(payment.order_id or 0)
        if order is None:
            # By the gateway's id first: a receipt may stand on a second order of the gateway's,
            # made where the answer to the first was lost.
            names = (fact.order_id, fact.receipt)
            found = (self.by_name.get((fact.gateway, name)) for name in names if name)
            order = next((order for order in found if order is not None), None)
        if order is not None:
            payment.order_id = order.id
            if payment.credited_at is None:  # else an operator may have given it to another account
                payment.account_id = order.account_id
            if order.gateway_order_id is None and fact.order_id is not None:
                order.gateway_order_id = fact.order_id
                if order.state in orders.UNOPENED_STATES:
                    wait = timedelta(minutes=catalog.get().payments.ask_after_minutes)
                    orders.move(self.session, order, "open", next_ask_at=self.now + wait)
        return order

    def _settle(self, payment: Payment, order: Order | None) -> None:
        """Say what captured money is for: an order's credit, or nothing that is known."""
        if order is None:
            known = payment.gateway_order_id or payment.receipt
            _put_aside(payment, "unmatched", "order_not_known" if known else "no_order")
        elif payment.currency != order.currency:
            _put_aside(payment, "quarantined", "currency_mismatch")
        elif payment.amount_paise != order.amount_paise:
            _put_aside(payment, "quarantined", "amount_mismatch")
        elif order.state == "paid":
            _put_aside(payment, "quarantined", "order_paid_already")
        elif refusal := self._pay_plan(payment, order):
            _put_aside(payment, "quarantined", refusal)
        else:
            payment.state, payment.reason = "captured", None
            payment.credits, payment.bonus_credits = order.credits, order.bonus_credits
            payment.credited_at = self.now
            order.payment_id = payment.id
            # One look more: a second payment may be on it whose webhook never comes.
            orders.move(self.session, order, "paid", next_ask_at=self.now + inquiries.LAST_LOOK)
            self.paid.append(payment)

    def _pay_plan(self, payment: Payment, order: Order) -> str | None:
        """Add the year that an order is for to its account's plan; return why it cannot be."""
        if order.plan is None:
            return None
        owner = self.owners[order.account_id]
        try:
            self.grants += plans.pay_order(
                self.session, owner, order, payment, plans=self.plans, actor=self.actor
            )
        except PlanRefused as refused:
            return refused.reason
        return None

    def credit(self) -> tuple[list[CreditedPayment], list[Released]]:
        """Post what the captured payments bring."""
        self.session.flush()
        paid = [(payment, self.refs[payment.account_id or 0]) for payment in self.paid]
        return post_credit(self.session, paid, grants=self.grants, actor=self.actor)

    def tell(self) -> None:
        """Write down what changed: for auditors, and for whoever wants to hear of it."""
        changed = [p for p in self.payments.values() if self.before[p.id] != _standing(p)]
        for payment in changed:
            payment.updated_at = self.now
        audit.record_all(
            self.session, [audit_change(payment, self.before[payment.id]) for payment in changed]
        )
        outbox.write(
            self.session,
            [
                notice_of(payment, self.refs.get(payment.account_id or 0))
                for payment in changed
                if payment.state in NOTIFIED_STATES
            ],
            now=self.now,
        )
        self.session.flush()


def _patience(payment: Payment) -> timedelta:
    """Return how long a payment in doubt is left to the gateway before it is asked."""
    known = catalog.get().payments
    if payment.state == "authorized":
        return timedelta(seconds=known.capture_after_seconds)
    return timedelta(minutes=known.ask_after_minutes)


def _standing(payment: Payment) -> tuple[str, int]:
    return payment.state, payment.refunded_paise


def _note(payment: Payment, fact: PaymentFacts) -> None:
    """Keep what a fact tells beside the state; what was known is not unlearned."""
    for name, told in (
        ("gateway_order_id", fact.order_id),
        ("receipt", fact.receipt),
        ("method", fact.method),
        ("fee_paise", fact.fee_paise),
        ("tax_paise", fact.tax_paise),
        ("happened_at", fact.happened_at),
        ("error_code", fact.error_code),
        ("error_reason", fact.error_reason),
    ):
        if told is not None and getattr(payment, name) is None:
            setattr(payment, name, told)
    if payment.credited_at is None and fact.seen is Seen.CAPTURED:
        payment.amount_paise, payment.currency = fact.amount_paise, fact.currency
        # What failed first may be paid at last by another card, days later.
        payment.happened_at = fact.happened_at or payment.happened_at


def _note_refunds(payment: Payment, fact: PaymentFacts) -> None:
    """Let what was refunded grow, never shrink: facts come in any order."""
    whole = payment.amount_paise
    # What was told before counts as well: only now it may have become known what it was paid for.
    told = max(min(fact.refunded_paise, whole), payment.refunded_paise)
    if not told or payment.state in {"created", "authorized", "failed"}:
        return
    payment.refunded_paise = told
    if told == whole:
        payment.state, payment.reason = "refunded", None
    elif payment.state == "captured":
        payment.state = "partially_refunded"


def _put_aside(payment: Payment, state: str, reason: str) -> None:
    payment.state, payment.reason = state, reason
