"""Intake of payments: bring them up to what the gateways report, and credit captured money once.

`take_in_payments` is the one way in. A webhook, a browser report, the answer to an inquiry and an
operator all come to it with facts, in any order and any number. It loads and locks the rows
(`intake_rows.py`), decides what each fact changes (`decision.py`, pure), applies the changes, and
posts the credit.

A payment for a plan adds a year to it (`billing/plans/paid_years.py`); if the plan does not take
the year, the payment is quarantined.

Locks, in this order: orders by id, plans by account, payments by the gateway's id, accounts by id
(the ledger's).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

import clock
from billing import catalog, plans
from billing.leads import ReleasedLead
from billing.ledger import Posting
from billing.payments import hand_credits, intake_rows
from billing.payments.credit_posting import CreditedPayment, Paid, post_credit
from billing.payments.decision import Change, decide
from billing.payments.facts import GatewayName, PaymentFacts
from billing.payments.intake_rows import IntakeRows
from billing.plans import PlanRefused
from db.models import Order, Payment
from service import request_ids


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What came of one call."""

    states: list[str]
    """The state of each fact's payment, in the order of the facts."""
    credited: list[CreditedPayment]
    released: list[ReleasedLead]
    """Parked leads that the credit paid for."""


def take_in_payments(
    session: Session,
    facts: Sequence[PaymentFacts],
    *,
    actor: str,
    also: Sequence[tuple[GatewayName, str]] = (),
) -> IntakeResult:
    """Bring the payments up to what the gateways report, and credit those that are captured.

    `also` are payments (gateway, its id) that the caller locks later in this transaction: they are
    locked with the others, before any account is.

    Posts at most once. The credit, its bonus, the debt that it pays and the parked leads that it
    pays for are all in this transaction.
    """
    if not facts and not also:
        return IntakeResult([], [], [])
    rows = intake_rows.load(session, facts, also=also, now=clock.now())
    paid: list[Paid] = []
    grants: list[Posting] = []
    by_hand = hand_credits.given_for(session, rows.payments.values())
    for fact in facts:  # one by one: each decision sees what the former one changed
        payment = rows.payments[fact.gateway, fact.payment_id]
        order = rows.find_order(payment, fact)
        refusal = hand_credits.REASON if payment.id in by_hand else None
        with request_ids.bound(fact.request_id):
            change, months = _decide(session, rows, fact, payment, order, refusal, actor=actor)
            intake_rows.apply(session, change, payment, order)
        grants += months
        if change.pays_order:
            account = rows.owners[payment.account_id or 0].ref
            paid.append(
                Paid(payment, account, fact.request_id, order.request_id if order else None)
            )
    session.flush()
    credited, released = post_credit(session, paid, grants=grants, actor=actor)
    intake_rows.record_changes(session, rows, facts)
    states = [rows.payments[fact.gateway, fact.payment_id].state for fact in facts]
    return IntakeResult(states, credited, released)


def _decide(
    session: Session,
    rows: IntakeRows,
    fact: PaymentFacts,
    payment: Payment,
    order: Order | None,
    refusal: str | None,
    *,
    actor: str,
) -> tuple[Change, list[Posting]]:
    """Return the change, and the grants of the plan's year that the payment has bought.

    Whether a plan takes a year is known once it is added; if it refuses, the decision is made anew.
    """
    waits = catalog.get().payments
    change = decide(fact, payment, order, now=rows.now, waits=waits, refusal=refusal)
    if not change.pays_order or order is None or order.plan is None:
        return change, []
    # The year begins when the payment was made.
    payment.happened_at = change.details.get("happened_at", payment.happened_at)
    owner = rows.owners[order.account_id]
    try:
        return change, plans.add_ordered_year(
            session, owner, order, payment, plans=rows.plans, actor=actor
        )
    except PlanRefused as refused:
        refusal = refused.reason
    return decide(fact, payment, order, now=rows.now, waits=waits, refusal=refusal), []
