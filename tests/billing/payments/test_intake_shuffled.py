"""Intake: any facts, in any order, from several threads, while operators attach payments."""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from billing import payments
from billing.payments import (
    CannotAttach,
    PaymentFacts,
    Seen,
    UnknownPayment,
    attachment,
    orders,
    unmatched,
)
from db.models import Order
from db.session import transaction
from errors import TransientError
from tests.billing.given import assert_ledger_is_clean, at_once, balance, open_account, rows
from tests.billing.payments.given import PRICE, news, order_facts, request, take_in

pytestmark = pytest.mark.usefixtures("database", "many_connections")

PAYMENTS, STEPS, THREADS = 3, 24, 4
MISMATCHED = (4, 5)
"""Payments of another amount than was ordered."""
CLINICS = ("clinic:42", "clinic:43")


def facts_about(rng: random.Random, wanted: list[Order]) -> PaymentFacts:
    """What a gateway might report of a payment, with or without the names of its order."""
    number = rng.randrange(PAYMENTS * len(wanted))
    order = wanted[number % len(wanted)]
    seen = rng.choice((*Seen, Seen.CAPTURED, Seen.CAPTURED))
    captured = seen is Seen.CAPTURED
    amount = PRICE - 100 if number in MISMATCHED else PRICE
    return news(
        seen, f"pay_{number}",
        order_id=rng.choice((f"order_{order.id}", f"order_{order.id}", None)),
        receipt=rng.choice((order.receipt, None)),
        amount_paise=amount,
        refunded_paise=rng.choice((0, 0, 0, 100, amount)) if captured else 0,
    )  # fmt: skip


def attach(rng: random.Random) -> None:
    try:
        with transaction() as session:
            attachment.attach(
                session, f"pay_{rng.randrange(2 * PAYMENTS)}", account=rng.choice(CLINICS),
                reason="slip", actor="ops",
            )  # fmt: skip
    except (UnknownPayment, CannotAttach):
        pass


def open_it(order: Order) -> None:
    with transaction() as session:
        found = orders.record_opened(session, order.id, order_facts(order, f"order_{order.id}"))
        payments.take_in_payments(session, unmatched.facts_for_order(session, found), actor="test")


def place_waiting() -> None:
    with transaction() as session:
        waiting = unmatched.facts_with_known_order(session, limit=10)
        payments.take_in_payments(session, waiting, actor="test")


def patiently(act: Callable[[], object]) -> None:
    """Try again when a lock is in the way, as tasks and callers do."""
    for _ in range(50):
        try:
            act()
        except TransientError:
            continue
        return
    raise AssertionError("a lock was in the way 50 times")


def one_thread(seed: int, wanted: list[Order]) -> None:
    rng = random.Random(seed)
    for _ in range(STEPS):
        batch = [facts_about(rng, wanted) for _ in range(rng.randrange(1, 4))]
        acts: list[Callable[[], object]] = [
            partial(take_in, *batch), partial(take_in, *batch), partial(take_in, *batch),
            partial(attach, rng), partial(open_it, rng.choice(wanted)), place_waiting,
        ]  # fmt: skip
        patiently(rng.choice(acts))


@pytest.mark.parametrize("seed", range(12))
def test_money_is_credited_once_whatever_is_reported_in_whichever_order(seed: int) -> None:
    for ref in CLINICS:
        open_account(ref)
    wanted = [request("op-1"), request("op-2", account="clinic:43")]

    threads = 1 if seed % 3 == 0 else THREADS
    at_once(*[partial(one_thread, 100 * seed + i, wanted) for i in range(threads)])

    # Then each payment was credited at most once, and what it brought is on its account
    credited = rows(
        "SELECT p.gateway_payment_id, a.ref, p.credits + p.bonus_credits"
        " FROM billing_payments p JOIN accounts a ON a.id = p.account_id"
        " WHERE p.credited_at IS NOT NULL"
    )
    posted = rows(
        "SELECT t.payment_id, a.ref, sum(t.amount)::bigint FROM credit_transactions t"
        " JOIN accounts a ON a.id = t.account_id GROUP BY 1, 2"
    )
    assert Counter(posted) == Counter(row for row in credited if row[2])
    assert {ref: balance(ref) for ref in CLINICS} == {
        ref: sum(int(str(brought)) for _, owner, brought in credited if owner == ref)
        for ref in CLINICS
    }
    # And an order is paid by one payment that was credited to its account, or not at all
    assert rows(
        "SELECT o.id FROM billing_orders o JOIN billing_payments p ON p.id = o.payment_id"
        " WHERE p.credited_at IS NULL OR p.account_id <> o.account_id OR p.order_id <> o.id"
    ) == []  # fmt: skip
    # And the state shows each refund that is on record
    assert rows(
        "SELECT 1 FROM billing_payments WHERE (refunded_paise = amount_paise AND amount_paise > 0)"
        " <> (state = 'refunded') OR (state = 'captured' AND refunded_paise > 0)"
    ) == []  # fmt: skip
    assert_ledger_is_clean()
