"""How fast a backlog of lead events is charged, against pgbench charging one by one.

The workers run as in the Procfile and wait; the events lie in the inbox; one nudge starts the
clock, and it stops when no row is pending. pgbench runs before and after each drain, so that a
machine that grows busy meanwhile is busy for both.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import text

import clock
from benchmarks import lab, leads, outcome, pgbench, processes
from benchmarks.report import Report, WrongOutcome
from db import deliveries
from db.session import transaction

DEFAULT_EVENTS = 50_000
ACCOUNTS = 10_000
WARM_UP_EVENTS = 2_000
PGBENCH_SECONDS = 6
POLL_SECONDS = 0.05
NUDGE_SECONDS = 5
LONGEST_DRAIN_SECONDS = 600
_CHUNK = 1_000
_QUIET_SECONDS = 1.0
"""How long a drain takes to notice that nothing is left and to end."""

COLUMNS = ("backlog", "events", "drain /s", "pgbench /s", "ratio", "aim")


def measure(here: lab.Lab, *, events: int) -> Report:
    """Drain `events` over many accounts and as many on one; raise `WrongOutcome`."""
    run = leads.new_run()
    spread = leads.open_accounts(run, count=ACCOUNTS, leads_each=2 + events // ACCOUNTS)
    single = leads.open_accounts(f"{run}-one", count=1, leads_each=events)
    rows = []
    cases = (("over 10,000 accounts", spread, 1.0), ("on 1 account", single, 5.0))
    for number, (name, accounts, aim) in enumerate(cases):
        with pgbench.tables(accounts=ACCOUNTS):
            before = _yardstick(here, len(accounts))
            with _ready_workers(here, f"{run}-warm{number}", spread):
                record_backlog(f"{run}-{number}", events=events, accounts=accounts)
                lab.settle()
                rate = events / seconds_to_drain()
            yardstick = (before + _yardstick(here, len(accounts))) / 2
        outcome.require_charged_once(f"{run}-{number}", events)
        rows.append((name, events, rate, yardstick, rate / yardstick, aim))
    outcome.require_clean_ledger()
    return Report(
        "Drain: lead events charged, against pgbench (one charge a transaction)",
        COLUMNS,
        rows,
        f"pgbench: {pgbench.CLIENTS} clients, prepared statements, {PGBENCH_SECONDS} s before"
        " and after each drain, the mean."
        " Every lead was charged once; the ledger is clean.",
    )


def record_backlog(run: str, *, events: int, accounts: Sequence[str]) -> None:
    """Put lead events into the inbox as the receiver does, without a nudge."""
    for start in range(0, events, _CHUNK):
        chunk = range(start, min(start + _CHUNK, events))
        now = clock.now()
        new = [
            deliveries.NewEvent(
                "leads", *leads.lead_event(run, n, accounts[n % len(accounts)]), now
            )
            for n in chunk
        ]
        with transaction() as session:
            deliveries.record(session, new)


def seconds_to_drain() -> float:
    """Nudge the waiting workers; return the time until no row is pending."""
    while not _nudge("leads"):
        time.sleep(POLL_SECONDS)  # an earlier nudge still stands
    started = time.perf_counter()
    wait_until_drained()
    return time.perf_counter() - started


def wait_until_drained(source: str = "leads") -> None:
    """Return when no row of `source` is pending; nudge from time to time, as beat does."""
    started = time.monotonic()
    next_nudge = started + NUDGE_SECONDS
    while _is_pending(source):
        time.sleep(POLL_SECONDS)
        if time.monotonic() > next_nudge:
            next_nudge += NUDGE_SECONDS
            _nudge(source)
        if time.monotonic() > started + LONGEST_DRAIN_SECONDS:
            raise WrongOutcome(f"events are still pending after {LONGEST_DRAIN_SECONDS} s")


def _is_pending(source: str) -> bool:
    with transaction() as session:
        return bool(
            session.scalar(
                text(
                    "SELECT EXISTS (SELECT FROM inbound_events"
                    " WHERE source = :source AND state = 'pending')"
                ),
                {"source": source},
            )
        )


def _nudge(source: str) -> bool:
    # Imported here: it reads the settings when it is, and the lab sets them.
    from tasks.plumbing import nudges  # noqa: PLC0415 - the app reads the settings

    return nudges.send(source)


def _yardstick(here: lab.Lab, accounts: int) -> float:
    lab.settle()
    return pgbench.charges_per_second(here, accounts=accounts, seconds=PGBENCH_SECONDS)


@contextmanager
def _ready_workers(here: lab.Lab, run: str, accounts: Sequence[str]) -> Iterator[None]:
    with processes.workers(here):
        record_backlog(run, events=WARM_UP_EVENTS, accounts=accounts)
        seconds_to_drain()
        time.sleep(_QUIET_SECONDS)
        yield
