"""How many holds a second are placed and captured, one a transaction, and how long each takes.

First one at a time; then sixteen at once, from two processes, since the threads of one share a
core. Each thread has a connection: what is measured is the waiting for a lock, not for a pool.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier
from unittest.mock import patch

from sqlalchemy import make_url, text

import settings
from benchmarks import crew, lab, leads, outcome
from benchmarks.crew import Crew
from benchmarks.report import Report, WrongOutcome
from billing import audit
from billing.credit import holds
from db import connections
from db.session import snapshot, transaction

DEFAULT_EVENTS = 1_000
"""Holds of each rate; half as many pairs."""
ACCOUNTS = 1_000
PROCESSES_AT_ONCE = 2
THREADS_AT_ONCE = 8
"""Of each process."""
HELD, CAPTURED = 200, 150
"""Credits. An estimate is held, less is charged, and the rest is released."""
CONNECT_SECONDS = 30
ACTOR = "benchmark"
LIFETIME = timedelta(hours=1)

PLACE, CAPTURE, BOTH = "place", "capture", "place, then capture"

COLUMNS = ("what", "accounts", "at once", "per second", "p50 ms", "p99 ms")


def measure(_here: lab.Lab, *, events: int) -> Report:
    """Place and capture `events` holds for each rate, spread and on one account.

    Raises `WrongOutcome`.
    """
    run = leads.new_run()
    # Two crews; each places and captures, then does both in turn, and warms up.
    each = 2 * (2 * events + PROCESSES_AT_ONCE)
    spread = leads.open_accounts(run, count=ACCOUNTS, leads_each=8 + each // ACCOUNTS)
    single = leads.open_accounts(f"{run}-one", count=1, leads_each=each)
    lab.settle()
    rows = []
    with (
        crew.started(1) as one,
        crew.started(PROCESSES_AT_ONCE, begin=_have_a_connection_each) as many,
    ):
        for accounts in (spread, single):
            for asking, threads in ((one, 1), (many, THREADS_AT_ONCE)):
                prefix = f"{run}-{len(accounts)}x{asking.size * threads}"
                rows += list(_rows(asking, threads, prefix, accounts, events))
                _require_captured(prefix, events + events // 2 + asking.size)
    _require_nothing_held(run)
    outcome.require_clean_ledger()
    return Report(
        "Holds: one a transaction, as an API answers them",
        COLUMNS,
        rows,
        f"{HELD} credits held, {CAPTURED} charged, the rest released. More than one at once:"
        f" {PROCESSES_AT_ONCE} processes of {THREADS_AT_ONCE} threads, a connection each."
        " Place, then capture: pairs of two transactions. Every hold was captured, nothing is"
        " held; the ledger is clean.",
    )


def _have_a_connection_each() -> None:
    wide = connections.make_engine(make_url(settings.get().database_url), pool_size=THREADS_AT_ONCE)
    patch.object(connections, "engine", lambda: wide).start()


@dataclass(frozen=True)
class _Share:
    """What one process does; `hold_ids` are captured, in the order of `numbers`."""

    what: str
    prefix: str
    process: int
    threads: int
    accounts: Sequence[str]
    numbers: range
    hold_ids: Sequence[int] = ()


@dataclass(frozen=True)
class _Times:
    seconds: list[float]
    hold_ids: list[int]


def _rows(
    asking: Crew, threads: int, prefix: str, accounts: Sequence[str], events: int
) -> Iterator[tuple[str | int | float, ...]]:
    placed: list[_Times] = []
    for what in (PLACE, CAPTURE, BOTH):
        numbers = range(events, events + events // 2) if what == BOTH else range(events)
        shares = [
            _Share(
                what,
                prefix,
                process,
                threads,
                accounts,
                numbers[process :: asking.size],
                placed[process].hold_ids if what == CAPTURE else (),
            )
            for process in range(asking.size)
        ]
        done = asking.work(_prepare, shares)
        if what == PLACE:
            placed = done.results
        times = sorted(seconds for result in done.results for seconds in result.seconds)
        assert len(times) == len(numbers)
        yield (
            what, len(accounts), asking.size * threads, len(times) / done.seconds,
            1000 * times[len(times) // 2], 1000 * times[len(times) * 99 // 100],
        )  # fmt: skip


def _prepare(share: _Share) -> Callable[[], _Times]:
    if share.what == PLACE:
        # Before the clock starts: a connection, and what SQLAlchemy keeps of each statement.
        key = f"{share.prefix}-warm{share.process}"
        _capture(_place(share.accounts[share.process % len(share.accounts)], key), key)
    threads = ThreadPoolExecutor(share.threads)
    # Threads that meet at a barrier are there, with a connection each, before the clock starts.
    meeting = Barrier(share.threads)
    list(threads.map(_connect, [meeting] * share.threads))

    def timed(position: int) -> tuple[float, int]:
        number = share.numbers[position]
        account, key = share.accounts[number % len(share.accounts)], f"{share.prefix}-{number}"
        started = time.perf_counter()
        hold_id = share.hold_ids[position] if share.what == CAPTURE else _place(account, key)
        if share.what != PLACE:
            _capture(hold_id, key)
        return time.perf_counter() - started, hold_id

    def run() -> _Times:
        with threads:
            done = list(threads.map(timed, range(len(share.numbers))))
        return _Times([seconds for seconds, _ in done], [hold_id for _, hold_id in done])

    return run


def _connect(meeting: Barrier) -> None:
    with transaction() as open_session:
        open_session.execute(text("SELECT 1"))
        meeting.wait(CONNECT_SECONDS)


def _place(account: str, key: str) -> int:
    with audit.asked_by("benchmark", door="api"), transaction() as open_session:
        hold = holds.place(
            open_session,
            account=account,
            amount=HELD,
            idempotency_key=key,
            actor=ACTOR,
            expires_in=LIFETIME,
        )
        return hold.id


def _capture(hold_id: int, key: str) -> None:
    with audit.asked_by("benchmark", door="api"), transaction() as open_session:
        holds.capture(
            open_session,
            hold_id=hold_id,
            amount=CAPTURED,
            idempotency_key=f"{key}-capture",
            actor=ACTOR,
        )


_OUTCOMES = text("""
WITH ours AS (SELECT * FROM holds WHERE starts_with(idempotency_key, :prefix)),
     events AS (SELECT e.event, count(*) AS number FROM hold_events e
                  JOIN ours ON ours.id = e.hold_id GROUP BY 1)
SELECT (SELECT count(*) FROM ours),
       (SELECT count(*) FROM ours WHERE state = 'captured' AND captured = :captured),
       (SELECT number FROM events WHERE event = 'placed'),
       (SELECT number FROM events WHERE event = 'captured'),
       (SELECT number FROM events WHERE event = 'released')
""")


def _require_captured(prefix: str, number: int) -> None:
    with snapshot() as reading:
        parameters = {"prefix": f"{prefix}-", "captured": CAPTURED}
        found = tuple(reading.execute(_OUTCOMES, parameters).one())
    if found != (number,) * 5:
        raise WrongOutcome(
            f"{number} holds came to {found[0]} holds, {found[1]} captured, and to {found[2:]}"
            " events of placing, capturing and releasing"
        )
    outcome.require_posted(f"hold:{prefix}-", rows=number, amount=-CAPTURED * number)


def _require_nothing_held(run: str) -> None:
    with snapshot() as reading:
        held = reading.scalar(
            text("SELECT sum(held) FROM accounts WHERE starts_with(ref, :prefix)"),
            {"prefix": f"clinic:{run}-"},
        )
    if held != 0:
        raise WrongOutcome(f"{held} credits are still held, though every hold was captured")
