"""Money on its way back while others work: locks in one order, and one stuck claim stops nobody."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from billing.returns import chargebacks, refund_intake, refund_lifecycle
from db.session import transaction
from devstack.simulator.razorpay import events as razorpay_events
from devstack.simulator.world import unix_now
from tasks.returns import settlement
from tests.billing.given import assert_ledger_is_clean, balance, open_account, rows
from tests.billing.payments import given as buying
from tests.billing.returns.given import dispute_fact, refund_fact
from tests.cli.runner import run
from tests.gateways.conftest import Sim
from tests.tasks.given import inbox_rows, work
from tests.tasks.returns.given import buy, deliver_razorpay, razorpay_event

pytestmark = pytest.mark.usefixtures("database", "redis")


@pytest.fixture(autouse=True)
def clinic(database: str) -> Iterator[None]:
    open_account()
    yield
    structlog.reset_defaults()


def test_a_batch_locks_the_payments_of_its_refunds_before_an_account(
    sim: Sim, many_connections: None
) -> None:
    # Given a refund of one payment and the capture of another, of the same account, in one batch
    buying.open_order()
    buying.take_in(buying.news())
    paid = sim.pay(str(buy(key="op-2").order_id))["razorpay_payment_id"]
    refund = {"id": "rfnd_1", "entity": "refund", "amount": buying.PRICE, "currency": "INR",
              "payment_id": "pay_1", "status": "processed", "created_at": unix_now(),
              "notes": [], "receipt": None}  # fmt: skip
    deliver_razorpay(
        razorpay_event(sim, "payment.captured", paid),
        razorpay_events.write("refund.processed", {"refund": refund}, unix_now()),
    )

    # When a settlement has locked the refunded payment meanwhile
    with ThreadPoolExecutor(1) as pool:
        with transaction() as session:
            session.execute(text("SELECT 1 FROM billing_payments"
                                 " WHERE gateway_payment_id = 'pay_1' FOR UPDATE"))  # fmt: skip
            batch = pool.submit(work, "razorpay")
            somebody_waits()
            # Then the account is still its own to lock
            session.execute(text("SELECT 1 FROM accounts FOR NO KEY UPDATE NOWAIT"))
        batch.result()

    assert [row[:2] for row in inbox_rows()] == [("done", "captured"), ("done", "refund processed")]
    assert balance() == 5_500
    assert_ledger_is_clean()


def test_claims_that_cannot_be_settled_keep_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given two refunds that the database refuses to number, before a good one, in pages of one
    monkeypatch.setattr(settlement, "AT_ONCE", 1)
    buying.open_order()
    buying.take_in(buying.news())
    with transaction() as session:
        facts = [refund_fact(refund_id=f"rfnd_{i}", amount=buying.PRICE // 4) for i in range(3)]
        refund_intake.record_facts(session, facts, actor="test")
        session.execute(text("UPDATE billing_refunds SET takes = 9223372036854775807"
                             " WHERE gateway_refund_id <> 'rfnd_2'"))  # fmt: skip

    settlement.settle_all()

    assert balance() == 5_500 - 1_375
    with transaction() as session:
        assert len(refund_lifecycle.unsettled(session, limit=10)) == 2
    # And they are in the list of what needs a look, until they can be settled
    stuck = looked_at()
    assert [row["gateway_refund_id"] for row in stuck] == ["rfnd_1", "rfnd_0"]
    assert all(row["settlement_error"] and row["settlement_failed_at"] for row in stuck)
    settlement.settle_all()
    assert looked_at() == stuck
    with transaction() as session:
        session.execute(text("UPDATE billing_refunds SET takes = 0"))
    settlement.settle_all()
    assert looked_at() == []
    assert balance() == 5_500 - 3 * 1_375


def test_a_chargeback_that_cannot_be_settled_is_in_the_list_of_what_needs_a_look() -> None:
    buying.open_order()
    buying.take_in(buying.news())
    with transaction() as session:
        chargebacks.record_facts(session, [dispute_fact(seen="lost")])
        session.execute(text("UPDATE billing_chargebacks SET takes = 9223372036854775807"))

    settlement.settle_all()

    [stuck] = looked_at("chargebacks")
    assert (stuck["state"], stuck["credit"]) == ("lost", "none")
    assert stuck["settlement_error"]
    assert run("chargebacks", "list", "--needs-a-look", "--open").exit_code == 2


def looked_at(kind: str = "refunds") -> list[Any]:
    """What needs a look, as the command lists it."""
    return list(run(kind, "list", "--needs-a-look", "--json").json)


def somebody_waits() -> None:
    """Return once a transaction waits for a lock of ours."""
    for _ in range(200):
        waiting = rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                       " AND datname = current_database()")  # fmt: skip
        if waiting:
            return
        time.sleep(0.05)
    raise AssertionError("nobody waits")
