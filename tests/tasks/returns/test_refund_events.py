"""Gateways' webhooks of refunds and payers' disputes, from the inbox to the credit: once each."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import permutations

import pytest
import structlog

import clock
from billing.payments import GatewayName
from tasks.returns import submission
from tasks.returns.submission import RefundStanding
from tests.billing.given import assert_ledger_is_clean, at_once, balance, open_account, rows
from tests.billing.returns.given import held
from tests.gateways.conftest import Sim
from tests.tasks.given import deliver, inbox_rows, work
from tests.tasks.returns.given import (
    buy,
    deliver_razorpay,
    dispute_event,
    open_dispute,
    paid,
    refund_event,
    refunds_at,
    stripe_event,
)

pytestmark = pytest.mark.usefixtures("database", "redis")

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GATEWAYS: tuple[GatewayName, ...] = ("razorpay", "stripe")
EVENTS = {
    "razorpay": ("refund.created", "refund.processed"),
    "stripe": ("refund.created", "refund.updated"),
}


@pytest.fixture(autouse=True)
def noon(database: str) -> Iterator[None]:
    open_account()
    with clock.frozen(NOON):
        yield
    structlog.reset_defaults()


def ask(payment_id: str, amount: int | None = None, key: str = "r-1") -> RefundStanding:
    return submission.request_refund(
        payment_id=payment_id, amount_paise=amount, reason="asked", actor="test", request_key=key
    )


def refund_rows() -> list[tuple[object, ...]]:
    """(state, position, paid credit, bonus) of each refund, oldest first."""
    return list(
        rows("SELECT state, position, credits, bonus_credits FROM billing_refunds ORDER BY id")
    )


def refund_at_dashboard(sim: Sim, payment_id: str, amount: int = 250_000) -> None:
    if payment_id in sim.world.razorpay.payments:
        sim.refund(payment_id, amount=amount)
    else:
        sim.refund_at_stripe(payment_id, amount)


def review() -> object:
    return rows("SELECT review_reason FROM accounts")[0][0]


@pytest.mark.parametrize("outcome", ["processed", "failed"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_refund_of_ours_ends_as_its_webhook_says(
    sim: Sim, gateway: GatewayName, outcome: str
) -> None:
    # Given a refund that is under way, and its credit reserved
    sim.set(refund_state="pending")
    payment_id = paid(sim, gateway)
    assert ask(payment_id).state == "submitted"
    assert (balance(), held()) == (5_500, 5_500)
    # When the gateway tells how it ended, twice
    [there] = refunds_at(sim, payment_id)
    sim.post("/simulator/finish-refund", {"refund_id": there["id"], "outcome": outcome})
    event = f"refund.{outcome}" if gateway == "razorpay" else "refund.updated"
    for more in (b"", b"\n"):
        deliver(refund_event(there, event, sim) + more, source=gateway)
        work(gateway)
    # Then the credit is gone, or free
    assert [row[1] for row in inbox_rows()[1:]] == [f"refund {outcome}"] * 2
    gone = outcome == "processed"
    assert refund_rows() == [("processed", "taken", 5_000, 500) if gone
                             else ("failed", "none", 0, 0)]  # fmt: skip
    assert (balance(), held()) == (0 if gone else 5_500, 0)
    assert_ledger_is_clean()


@pytest.mark.parametrize("one_batch", [True, False])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_refund_from_the_dashboard_takes_its_share_once_in_any_order(
    sim: Sim, gateway: GatewayName, *, one_batch: bool
) -> None:
    payment_id = paid(sim, gateway)
    refund_at_dashboard(sim, payment_id)
    [there] = refunds_at(sim, payment_id)
    for names in permutations(EVENTS[gateway]):
        for name in names:
            deliver(refund_event(there, name, sim) + b" " * len(inbox_rows()), source=gateway)
            if not one_batch:
                work(gateway)
    work(gateway)

    assert refund_rows() == [("processed", "taken", 2_500, 250)]
    assert (balance(), held()) == (2_750, 0)
    assert rows("SELECT requested_by FROM billing_refunds") == [(f"webhook:{gateway}",)]
    assert_ledger_is_clean()


def test_a_refund_waits_for_its_payment_to_be_known(sim: Sim) -> None:
    # Given a payment whose webhook is late, refunded in part meanwhile
    session_id = str(buy("stripe").order_id)
    payment_id = sim.pay(session_id)["payment_intent"]
    refund_at_dashboard(sim, payment_id)
    [there] = refunds_at(sim, payment_id)
    # When the refund is reported first
    deliver(refund_event(there, "refund.created", sim), source="stripe")
    work("stripe")
    assert refund_rows() == [("processed", "none", 0, 0)]
    assert balance() == 0
    # Then it takes nothing until there is credit
    deliver(stripe_event(sim, session_id), source="stripe")
    work("stripe")
    assert refund_rows() == [("processed", "taken", 2_500, 250)]
    assert balance() == 2_750
    assert rows("SELECT state, refunded_paise FROM billing_payments") == [
        ("partially_refunded", 250_000)
    ]
    assert_ledger_is_clean()


def test_an_event_that_tells_of_both_credits_the_payment_and_takes_the_refund(sim: Sim) -> None:
    payment_id = sim.pay(str(buy().order_id))["razorpay_payment_id"]
    refund_at_dashboard(sim, payment_id)
    [there] = refunds_at(sim, payment_id)

    deliver_razorpay(refund_event(there, "refund.processed", sim))
    work("razorpay")

    assert refund_rows() == [("processed", "taken", 2_500, 250)]
    assert balance() == 2_750
    assert_ledger_is_clean()


def test_money_that_was_never_captured_goes_back_and_takes_nothing(sim: Sim) -> None:
    payment_id = sim.pay(str(buy().order_id), "authorized")["razorpay_payment_id"]
    sim.post("/simulator/expire-authorization", {"payment_id": payment_id})
    [there] = refunds_at(sim, payment_id)

    for name in EVENTS["razorpay"]:
        deliver_razorpay(refund_event(there, name, sim))
    work("razorpay")

    assert [row[0] for row in inbox_rows()] == ["done", "done"]
    assert refund_rows() == [("processed", "none", 0, 0)]
    assert (balance(), held()) == (0, 0)
    assert rows("SELECT 1 FROM credit_transactions") == []


def test_what_may_be_our_own_refund_waits_for_our_answer(sim: Sim) -> None:
    # Given a refund of ours whose answer was lost, and a twin from the dashboard
    payment_id = paid(sim)
    sim.set(lost_response=1)
    assert ask(payment_id, 100_000).state == "unknown"
    sim.set(lost_response=0)
    refund_at_dashboard(sim, payment_id, 100_000)
    ours, theirs = refunds_at(sim, payment_id)
    # When the twin is reported first
    deliver_razorpay(refund_event(theirs, "refund.processed", sim))
    work("razorpay")
    assert inbox_rows()[-1][:2] == ("done", "refund waits")
    # Then both are taken once ours is reported, each by its own row
    deliver_razorpay(refund_event(ours, "refund.processed", sim))
    work("razorpay")
    deliver_razorpay(refund_event(theirs, "refund.processed", sim) + b" ")
    work("razorpay")
    assert refund_rows() == [("processed", "taken", 1_000, 100)] * 2
    assert balance() == 3_300
    assert_ledger_is_clean()


@pytest.mark.parametrize("end", ["won", "lost"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_chargeback_freezes_credit_and_flags_the_account_until_it_ends(
    sim: Sim, gateway: GatewayName, end: str
) -> None:
    payment_id = paid(sim, gateway)
    dispute = open_dispute(sim, payment_id)
    deliver(dispute_event(dispute, "created", sim), source=gateway)
    work(gateway)
    assert inbox_rows()[-1][:2] == ("done", "chargeback open")
    assert (balance(), held(), review()) == (5_500, 5_500, "chargeback")

    sim.post(f"/simulator/disputes/{dispute['id']}", {"status": end})
    deliver(dispute_event(dispute, end, sim), source=gateway)
    work(gateway)

    assert inbox_rows()[-1][:2] == ("done", f"chargeback {end}")
    lost = end == "lost"
    assert (balance(), held()) == (0 if lost else 5_500, 0)
    assert review() == ("chargeback" if lost else None)
    assert_ledger_is_clean()


def test_a_lost_chargeback_that_is_told_before_it_was_opened_is_taken_once(sim: Sim) -> None:
    dispute = open_dispute(sim, paid(sim))
    created = dispute_event(dispute, "created", sim)
    sim.post(f"/simulator/disputes/{dispute['id']}", {"status": "lost"})
    lost = dispute_event(dispute, "lost", sim)

    for body in (lost, created, lost + b" "):
        deliver_razorpay(body)
        work("razorpay")

    assert rows("SELECT state, position FROM billing_chargebacks") == [("lost", "taken")]
    assert (balance(), held()) == (0, 0)
    assert_ledger_is_clean()


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_an_inquiry_freezes_nothing(sim: Sim, gateway: GatewayName) -> None:
    dispute = open_dispute(sim, paid(sim, gateway), inquiry=True)
    deliver(dispute_event(dispute, "created", sim), source=gateway)
    work(gateway)

    assert rows("SELECT moves_money, position FROM billing_chargebacks") == [(False, "none")]
    assert (balance(), held(), review()) == (5_500, 0, None)


def test_what_cannot_be_read_of_a_refund_is_dead_and_stops_no_other(sim: Sim) -> None:
    payment_id = paid(sim)
    refund_at_dashboard(sim, payment_id)
    [there] = refunds_at(sim, payment_id)
    bodies = [there, {**there, "amount": "1"}, {**there, "status": "melted"}]
    deliver_razorpay(*[refund_event(one, "refund.processed", sim) for one in bodies])
    work("razorpay")

    assert [row[0] for row in inbox_rows()[1:]] == ["done", "dead", "dead"]
    assert refund_rows() == [("processed", "taken", 2_500, 250)]


def test_one_refund_in_several_workers_at_once_is_taken_once(
    sim: Sim, many_connections: None
) -> None:
    payment_id = paid(sim)
    for _ in range(3):
        refund_at_dashboard(sim, payment_id, 100_000)
    for refund in refunds_at(sim, payment_id):
        for name in EVENTS["razorpay"]:
            deliver_razorpay(*[refund_event(refund, name, sim) + b" " * i for i in range(5)])

    at_once(*[lambda: work("razorpay")] * 3)
    work("razorpay")

    assert refund_rows() == [("processed", "taken", 1_000, 100)] * 3
    assert {row[0] for row in inbox_rows()} == {"done"}
    assert balance() == 2_200
    assert_ledger_is_clean()
