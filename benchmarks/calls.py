"""How fast `tasks.leads.charge` works off a full queue, one lead a message, against a no-op task.

Both tasks' messages carry the same fields, lie in the same queue and are taken by the same worker
processes, in blocks that take turns (no-op, charge, charge, no-op), so that a machine that grows
busy meanwhile is busy for both. A lead counts once it is charged, not when its row is recorded.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

import clock
from benchmarks import drain, lab, leads, messages, outcome, processes
from benchmarks.report import Report, WrongOutcome
from db.session import snapshot
from tasks.leads import calls as lead_calls

DEFAULT_EVENTS = 10_000
"""Messages of each task."""
ACCOUNTS = 10_000
CHARGE = "tasks.leads.charge"
BLOCKS = (messages.NOOP, CHARGE, CHARGE, messages.NOOP)
WARM_UP_MESSAGES = 1_000
AIM = 0.85

COLUMNS = (
    "task",
    "messages",
    "taken /s",
    "charged /s",
    "taken of no-op",
    "charged of no-op",
    "aim",
)


@dataclass(frozen=True)
class _Block:
    messages: int
    seconds_to_take: float
    seconds_to_charge: float


def measure(here: lab.Lab, *, events: int) -> Report:
    """Work off `events` messages of each task; raise `WrongOutcome`."""
    run = leads.new_run()
    each = events // BLOCKS.count(CHARGE)
    accounts = leads.open_accounts(run, count=ACCOUNTS, leads_each=3 + events // ACCOUNTS)
    warm = [(f"{run}-warm{i}", task) for i, task in enumerate((messages.NOOP, CHARGE))]
    blocks = [(f"{run}-{i}", task) for i, task in enumerate(BLOCKS)]
    for name, task in warm:
        messages.write(name, task, lead_fields(name, WARM_UP_MESSAGES, accounts))
    for name, task in blocks:
        messages.write(name, task, lead_fields(name, each, accounts))
    done = defaultdict[str, list[_Block]](list)
    with processes.workers(here, include=messages.INCLUDE):
        for name, task in warm:
            _work_off(name, task, WARM_UP_MESSAGES)
        lab.settle()
        for name, task in blocks:
            done[task].append(_work_off(name, task, each))
    for name, task in blocks:
        if task == CHARGE:
            outcome.require_charged_once(name, each)
    outcome.require_clean_ledger()
    return Report(
        "Celery door: tasks.leads.charge, one lead a message, against a no-op task",
        COLUMNS,
        list(_rows(done)),
        f"Blocks of {each:,} messages, from a full queue: no-op, charge, charge, no-op."
        f" Taken: the call is an inbox row. Charged: no row is pending. Aim: {AIM:g} of no-op,"
        " charged. Every lead was charged once; the ledger is clean.",
    )


def lead_fields(run: str, count: int, accounts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the fields of the run's first `count` leads."""
    return (leads.lead(run, n, accounts[n % len(accounts)]) for n in range(count))


def seconds_to_record(run: str, *, since: datetime, rows: int) -> float:
    """Return how long after `since` the last of the run's `rows` calls came to its task."""
    with snapshot() as session:
        found, last = session.execute(_RECORDED, {"run": f"{run}-%"}).one()
    if found != rows:
        raise WrongOutcome(f"{rows} leads called for, but {found} rows in the inbox")
    seconds: float = (last - since).total_seconds()
    return seconds


_RECORDED = text("SELECT count(*), max(received_at) FROM inbound_events WHERE event_id LIKE :run")


def _work_off(run: str, task: str, count: int) -> _Block:
    if task == messages.NOOP:
        seconds = messages.seconds_to_take(run)
        return _Block(count, seconds, seconds)
    messages.let_loose(run)
    since, started = clock.now(), time.perf_counter()
    messages.wait_until_taken()
    drain.wait_until_drained(lead_calls.SOURCE)
    seconds = time.perf_counter() - started
    return _Block(count, seconds_to_record(run, since=since, rows=count), seconds)


def _rows(done: dict[str, list[_Block]]) -> Iterator[tuple[str | int | float | None, ...]]:
    noop, charge = done[messages.NOOP], done[CHARGE]
    count = sum(block.messages for block in charge)
    yardstick = count / sum(block.seconds_to_take for block in noop)
    taken = count / sum(block.seconds_to_take for block in charge)
    charged = count / sum(block.seconds_to_charge for block in charge)
    verdict = "met" if charged / yardstick >= AIM else "missed"
    yield ("no-op", count, yardstick, None, 1.0, None, "")
    yield (CHARGE, count, taken, charged, taken / yardstick, charged / yardstick, verdict)
