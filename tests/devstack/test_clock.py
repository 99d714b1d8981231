"""Time that is moved on a whole stack: leads and payments go on, a restart changes nothing."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

import clock
import settings
from devstack import ports
from tests.acceptance import paying
from tests.acceptance.harness import LeadEvent, Stack
from tests.stack_process import StackProcess, eventually

CLINIC = "clinic:moved"
FAR = timedelta(days=400)
_numbers = count(1)


@pytest.fixture
def file(data_dir: Path) -> Iterator[Path]:
    """The stack's clock; this process follows it, for it signs what it sends."""
    path = data_dir / "clock.json"
    clock.follow(path)
    yield path
    clock.follow(None)


def leads_are_charged(stack: Stack) -> None:
    """A signed lead is taken and charged, at the time of the stack."""
    number = next(_numbers)
    lead = LeadEvent(f"evt-{number}", f"lead-{number}", CLINIC, 1_200_000)
    assert stack.post_lead(lead) == 202
    stack.wait_until_charged(lead.lead_id)
    assert_is_now(
        stack.value("SELECT created_at FROM credit_transactions WHERE lead_id = %s", lead.lead_id)
    )


def payments_are_credited(stack: Stack) -> None:
    """A payment at each gateway is credited by its webhook alone, at the time of the stack."""
    order_id = paying.order(stack, CLINIC, key=f"order-{next(_numbers)}")
    payment_id = paying.pay(stack, order_id)["payment_id"]
    eventually("Razorpay's is credited", lambda: paying.credited(stack, payment_id))
    assert paying.credited(stack, payment_id) == [paying.CREDITS, paying.BONUS_CREDITS]

    session_id = order_at_stripe(stack)
    simulator = stack.addresses["razorpay_api_base"]
    paid = requests.post(f"{simulator}/simulator/pay", json={"session_id": session_id}, timeout=10)
    assert paid.status_code == 200, paid.text
    of_order = "SELECT max(created_at) FROM credit_transactions WHERE actor = 'webhook:stripe'"
    eventually("Stripe's is credited", lambda: is_now(stack.value(of_order)))
    assert_is_now(stack.value("SELECT max(created_at) FROM credit_transactions"))
    deliveries = requests.get(f"{simulator}/simulator/deliveries", timeout=10).json()["items"]
    assert {delivery["state"] for delivery in deliveries} <= {"taken", "waiting"}
    assert all(len(delivery["attempts"]) <= 1 for delivery in deliveries)


def order_at_stripe(stack: Stack) -> str:
    answer = requests.post(
        f"http://{ports.HOST}:{stack.environment['API_PORT']}/v1/orders",
        json={
            "account": CLINIC, "gateway": "stripe", "package": "credits_5000",
            "return_url": "https://shop.example/back",
        },
        headers={
            "Authorization": f"Bearer {stack.addresses['api_keys'].partition(':')[2]}",
            "Idempotency-Key": f"order-{next(_numbers)}",
        },
        timeout=20,
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    order_id: str = answer.json()["order_id"]
    return order_id


def is_now(moment: datetime | None) -> bool:
    return moment is not None and abs(moment - clock.now()) < timedelta(minutes=2)


def assert_is_now(moment: Any) -> None:
    assert is_now(moment), (moment, clock.now())


@pytest.mark.acceptance
def test_a_stack_is_moved_at_once_and_stays_there(data_dir: Path, file: Path) -> None:
    # Given a stack in the time of the world
    with Stack(data_dir, "--no-demo") as stack:
        stack.make_account(CLINIC, opening_credits=10_000)
        leads_are_charged(stack)
        # When it is moved by 400 days
        stack.billing("clock", "advance", "400d")
        assert clock.now() - datetime.now(UTC) > FAR - timedelta(minutes=1)  # noqa: TID251
        # Then leads and payments go on in that time, at once
        leads_are_charged(stack)
        payments_are_credited(stack)
        # And what goes to a database of one's own is not moved
        refused = with_database(stack, "postgresql://me@127.0.0.1:1/mine", "clock", "show")
        assert refused.returncode == 1
        assert "in development only" in refused.stderr
        assert refused.stderr.count("\n") == 1
        # But who names this very database is where it is
        named = with_database(stack, stack.addresses["database_url"], "clock", "show", "--json")
        assert '"offset_seconds": 34560000' in named.stdout, named.stderr
        # When its clock is damaged while it runs
        said = file.read_bytes()
        file.write_bytes(b'{"offset_seconds": ')
        # Then the stack stays where it is, each process says so once, and nobody can move it
        leads_are_charged(stack)
        log = (data_dir / "logs" / "worker.log").read_text()
        assert f"the development clock {file} cannot be read (it is not JSON)" in log
        assert "Traceback" not in log
        assert str(file) in stack.billing_process("clock", "advance", "1d").stderr
        file.write_bytes(said)
        assert stack.billing_process("ledger", "verify").returncode == 0
    # When it starts again, with its demo
    with Stack(data_dir) as stack:
        ups = "The stack is up."
        eventually("the demo is through", lambda: stack.output.count(ups) == 2, seconds=60)
        assert "(400 days, 0:00:00 ahead: billing clock show)" in stack.output
        # Then it is still in that time, and all goes on as before
        assert stack.billing("clock", "show")["offset_seconds"] == FAR.total_seconds()
        leads_are_charged(stack)
        payments_are_credited(stack)
        assert stack.billing_process("ledger", "verify").returncode == 0


def with_database(stack: Stack, url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    stack.environment["DATABASE_URL"] = url
    try:
        return stack.billing_process(*arguments)
    finally:
        del stack.environment["DATABASE_URL"]


def refused_to_start(stack: StackProcess) -> str:
    stack.launch()
    assert stack.wait() == 1
    assert "Traceback" not in stack.output
    assert stack.marked_processes() == []
    return stack.output


def test_a_stack_whose_clock_makes_no_sense_does_not_start(
    make_stack: Callable[..., StackProcess], data_dir: Path
) -> None:
    (data_dir / "clock.json").write_text("yesterday")
    output = refused_to_start(make_stack())
    assert f"the development clock {data_dir / 'clock.json'} cannot be read" in output


def test_a_database_of_ones_own_has_no_development_clock(
    make_stack: Callable[..., StackProcess],
) -> None:
    stack = make_stack(
        {
            "DATABASE_URL": os.environ["DATABASE_URL"],
            "DATABASE_OWNER_URL": os.environ["DATABASE_OWNER_URL"],
            "BILLING_DEVELOPMENT_CLOCK": "clock.json",
        }
    )
    assert "BILLING_DEVELOPMENT_CLOCK is set, and so is DATABASE_URL" in refused_to_start(stack)


def test_data_that_were_moved_do_not_meet_real_money(
    make_stack: Callable[..., StackProcess], data_dir: Path
) -> None:
    (data_dir / "clock.json").write_text('{"offset_seconds": 5}')
    output = refused_to_start(make_stack({"STRIPE_API_KEY": "sk_live_0123456789"}))
    assert "the time of this data was moved" in output
    assert "sk_live" not in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "webhook_receiver"],
        ["-m", "api"],
        ["-m", "celery", "-A", "worker.app", "beat"],
        ["-m", "devstack.simulator"],
    ],
    ids=lambda arguments: arguments[1],
)
def test_each_process_refuses_a_clock_that_makes_no_sense(
    data_dir: Path, arguments: list[str]
) -> None:
    # Given a process of the stack that is started beside a damaged file
    path = data_dir / "clock.json"
    path.write_text("{}")
    done = subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ, "BILLING_DEVELOPMENT_CLOCK": str(path),
            "SIMULATOR_PORT": str(ports.find_free()),
        },
        cwd=settings.PROJECT_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    # Then it says in one line why, instead of starting in another time
    assert done.returncode == 1
    assert f"the development clock {path} cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
