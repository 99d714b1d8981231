"""The main job through the real stack: leads and payments go in, credits come out."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from itertools import count

import psycopg2
import pytest

from tests.acceptance import paying
from tests.acceptance.harness import LeadEvent, Stack, pause, tiers
from tests.stack_process import eventually

pytestmark = pytest.mark.acceptance

CREDITS = 10_000
PRICE_PAISE, COSTS = 1_200_000, 250
BOUGHT = [paying.CREDITS, paying.BONUS_CREDITS]
_numbers = count(1)


@pytest.fixture
def clinic(stack: Stack) -> str:
    """A clinic of this test's own."""
    ref = f"clinic:main-{next(_numbers)}"
    stack.make_account(ref, opening_credits=CREDITS)
    return ref


@pytest.fixture
def events(clinic: str) -> Iterator[LeadEvent]:
    """One new lead after the other."""
    return (
        LeadEvent(f"evt-{clinic}-{n}", f"lead-{clinic}-{n}", clinic, PRICE_PAISE) for n in count(1)
    )


def charges(stack: Stack, event: LeadEvent) -> list[int]:
    """Return the amount of each ledger row of a lead."""
    key = f"lead:{event.lead_id}:charge"
    return [
        row[0]
        for row in stack.sql(
            "SELECT amount FROM credit_transactions WHERE idempotency_key = %s", key
        )
    ]


def unfinished(stack: Stack) -> int:
    """Return how many recorded webhooks of Razorpay's are not handled yet."""
    count_them = "SELECT count(*) FROM inbound_events WHERE source = 'razorpay' AND state <> 'done'"
    found: int = stack.value(count_them)
    return found


def test_lead_costs_what_its_package_says(stack: Stack, clinic: str) -> None:
    # Given one lead of each tier
    leads = [
        (LeadEvent(f"evt-{clinic}-{price}", f"lead-{clinic}-{price}", clinic, price), cost)
        for price, cost in tiers()
    ]
    # When they come in, each is recorded
    assert [stack.post_lead(event) for event, _ in leads] == [202] * len(leads)
    stack.wait_until_charged(*(event.lead_id for event, _ in leads))
    # Then the clinic has paid the price of each tier
    assert stack.balance(clinic) == CREDITS - sum(cost for _, cost in leads)
    # And its history says so, row by row
    history = {row["idempotency_key"]: row for row in stack.billing("history", clinic)}
    for event, cost in leads:
        assert history[f"lead:{event.lead_id}:charge"]["amount"] == -cost
    assert stack.billing_process("ledger", "verify").returncode == 0


def test_same_event_again_is_known_and_free(
    stack: Stack, clinic: str, events: Iterator[LeadEvent]
) -> None:
    event = next(events)
    assert stack.post_lead(event) == 202
    stack.wait_until_charged(event.lead_id)
    assert stack.post_lead(event) == 200
    assert charges(stack, event) == [-COSTS]
    assert stack.balance(clinic) == CREDITS - COSTS


def test_same_event_from_eight_senders_at_once_is_charged_once(
    stack: Stack, clinic: str, events: Iterator[LeadEvent]
) -> None:
    event = next(events)
    at_once = threading.Barrier(8)

    def send(_: int) -> int:
        at_once.wait()
        return stack.post_lead(event)

    with ThreadPoolExecutor(8) as senders:
        answers = sorted(senders.map(send, range(8)))
    assert answers == [200] * 7 + [202]
    stack.wait_until_charged(event.lead_id)
    assert charges(stack, event) == [-COSTS]
    assert stack.balance(clinic) == CREDITS - COSTS


def test_same_lead_under_two_event_ids_is_charged_once(
    stack: Stack, clinic: str, events: Iterator[LeadEvent]
) -> None:
    first = next(events)
    second = LeadEvent(f"{first.event_id}-again", first.lead_id, clinic, PRICE_PAISE)
    assert [stack.post_lead(first), stack.post_lead(second)] == [202, 202]
    states = "SELECT state FROM inbound_events WHERE event_id = ANY(%s)"
    ids = [first.event_id, second.event_id]
    eventually(
        "both events are handled",
        lambda: stack.sql(states, ids) == [("done",), ("done",)],
    )
    assert charges(stack, first) == [-COSTS]
    assert stack.balance(clinic) == CREDITS - COSTS


def test_event_is_accepted_while_redis_is_down_and_charged_when_it_is_back(
    stack: Stack, clinic: str, events: Iterator[LeadEvent]
) -> None:
    event = next(events)
    # Given Redis is gone
    stack.stop("redis")
    # When an event comes in, it is accepted, and waits as a row
    assert stack.post_lead(event) == 202
    pause(1)
    assert charges(stack, event) == []
    # Then it is charged by the sweep once Redis is back
    stack.start("redis")
    stack.wait_until_charged(event.lead_id, seconds=60)
    assert charges(stack, event) == [-COSTS]


def test_nothing_is_pretended_while_postgresql_is_down(
    stack: Stack, clinic: str, events: Iterator[LeadEvent]
) -> None:
    event = next(events)
    stack.stop("postgres")
    # While the database is gone the receiver says so, and is alive all the same
    assert stack.post_lead(event, timeout=30) == 503
    assert stack.get("/readyz") == 503
    assert stack.get("/healthz") == 200
    # When it is back, the sender's next try is accepted
    stack.start("postgres")
    stack.wait_until_database_answers()
    eventually("the event is accepted", lambda: stack.post_lead(event) in (200, 202))
    stack.wait_until_charged(event.lead_id, seconds=60)
    assert charges(stack, event) == [-COSTS]


def test_flushed_redis_loses_nothing(
    stack: Stack, clinic: str, events: Iterator[LeadEvent]
) -> None:
    # Given an event whose message nobody has taken, for there is no worker
    stack.stop("worker")
    event = next(events)
    assert stack.post_lead(event) == 202
    # When Redis is emptied, and the worker comes back
    stack.flush_redis()
    stack.start("worker")
    # Then the sweep finds the row
    stack.wait_until_charged(event.lead_id, seconds=60)
    assert charges(stack, event) == [-COSTS]


def test_worker_that_is_asked_to_stop_finishes_its_task(
    stack: Stack, clinic: str, events: Iterator[LeadEvent]
) -> None:
    event = next(events)
    with closing(psycopg2.connect(stack.addresses["database_url"])) as locker:
        # Given a task that waits for a row which somebody else has locked
        locker.cursor().execute("SELECT 1 FROM accounts WHERE ref = %s FOR UPDATE", (clinic,))
        assert stack.post_lead(event) == 202
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually("the task waits", lambda: stack.value(waiting) > 0)
        # When the worker is asked to stop
        stopping = threading.Thread(target=stack.stop, args=("worker",))
        stopping.start()
        pause(1)
        assert charges(stack, event) == []
        # Then it finishes the task as soon as it can, and ends by itself
        locker.rollback()
    stopping.join()
    assert charges(stack, event) == [-COSTS]
    attempts = "SELECT attempts FROM inbound_events WHERE event_id = %s"
    assert stack.value(attempts, event.event_id) == 1
    stack.start("worker")


def test_payment_is_credited_once_though_the_worker_is_killed_over_it(
    stack: Stack, clinic: str
) -> None:
    order_id = paying.order(stack, clinic, key=f"order-{clinic}")
    assert paying.order(stack, clinic, key=f"order-{clinic}") == order_id
    with closing(psycopg2.connect(stack.addresses["database_url"])) as locker:
        # Given a paid order, whose credit waits for a row which somebody else has locked
        locker.cursor().execute("SELECT 1 FROM accounts WHERE ref = %s FOR UPDATE", (clinic,))
        paid = paying.pay(stack, order_id)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually("the task waits", lambda: stack.value(waiting) > 0)
        # When the worker is killed over it
        killed = stack.running_pid_of("worker")
        stack.kill(killed)
        stack.running_pid_of("worker", other_than=killed)
        locker.rollback()
    # Then the next one credits the payment, with its bonus
    payment_id = paid["payment_id"]
    eventually("it is credited", lambda: paying.credited(stack, payment_id), seconds=60)
    assert paying.credited(stack, payment_id) == BOUGHT
    # And the browser that comes back hears of it and changes nothing
    assert paying.verify(stack, paid, key=f"verify-{clinic}") == ("captured", sum(BOUGHT))
    eventually("no webhook waits", lambda: unfinished(stack) == 0, seconds=60)
    assert paying.credited(stack, payment_id) == BOUGHT
    assert stack.balance(clinic) == CREDITS + sum(BOUGHT)
    assert stack.billing_process("ledger", "verify").returncode == 0


def test_payment_whose_webhooks_are_lost_is_credited_all_the_same(
    stack: Stack, clinic: str
) -> None:
    # Given a paid order of which no webhook ever tells
    order_id = paying.order(stack, clinic, key=f"order-{clinic}")
    with paying.switches(stack, drops=1):
        paid = paying.pay(stack, order_id)
    pause(1)
    assert paying.credited(stack, paid["payment_id"]) == []
    # Then the sweep will ask the gateway about it, within a quarter of an hour
    due = "SELECT next_ask_at - created_at FROM billing_orders WHERE gateway_order_id = %s"
    assert timedelta(0) < stack.value(due, order_id) <= timedelta(minutes=16)
    # And before that the browser's return is enough
    assert paying.verify(stack, paid, key=f"verify-{clinic}") == ("captured", sum(BOUGHT))
    assert paying.credited(stack, paid["payment_id"]) == BOUGHT
    assert stack.balance(clinic) == CREDITS + sum(BOUGHT)


def test_killed_supervisor_loses_nothing(own_stack: Stack) -> None:
    event = LeadEvent("evt-killed", "lead-killed", "clinic:killed", PRICE_PAISE)
    # Given an accepted event that no worker has seen
    own_stack.launch()
    own_stack.wait_until_ready()
    own_stack.make_account(event.account, opening_credits=CREDITS)
    own_stack.stop("worker")
    assert own_stack.post_lead(event) == 202
    # When the supervisor is killed, and the stack is started again
    own_stack.kill(own_stack.pid)
    own_stack.launch()
    own_stack.wait_until_ready()
    # Then what it left behind is ended, and the event is charged
    assert "ended a leftover of a killed stack: " in own_stack.output
    own_stack.wait_until_charged(event.lead_id, seconds=60)
    assert charges(own_stack, event) == [-COSTS]
    assert own_stack.post_lead(event) == 200
    # And the ordered stop leaves nothing of ours behind
    assert own_stack.shut_down(signal.SIGINT) == 0
    assert own_stack.marked_processes() == []
