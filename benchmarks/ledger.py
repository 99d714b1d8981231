"""What `post` writes in a second, by the size of a batch, against pgbench charging one by one.

One process posts, then two at once, as many as the worker has. pgbench runs before and after each
series, so that a machine that grows busy meanwhile is busy for both.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import crew, lab, leads, outcome, pgbench
from benchmarks.crew import Crew
from benchmarks.report import Report
from billing.ledger import Kind, Posting, post
from db.session import transaction
from worker import bootstrap

DEFAULT_EVENTS = 20_000
ACCOUNTS = 10_000
BATCH_SIZES = (1, 10, 100, 200, 500)
PROCESSES = (1, 2)
MOST_TRANSACTIONS = 500
"""Small batches stop here: each waits for the disk, and their rate is steady by then."""
PGBENCH_SECONDS = 6
CREDITS = 250
AIMED_AT = 200
"""The aims are for batches of this size and more."""
SPREAD_AIM, SINGLE_AIM = 1.0, 5.0

COLUMNS = (
    "charging", "batch", "spread /s", "of pgbench", "one account /s", "one account of pgbench",
    "aims",
)  # fmt: skip


def measure(here: lab.Lab, *, events: int) -> Report:
    """Post up to `events` charges in batches of each size, spread and on one account.

    Raises `WrongOutcome`.
    """
    run = leads.new_run()
    each = len(PROCESSES) * sum(_charges(size, events) + 2 * size for size in BATCH_SIZES)
    # Every rate begins with the first account, its batches before the clock too.
    begun = 3 * len(PROCESSES) * len(BATCH_SIZES)
    spread = leads.open_accounts(run, count=ACCOUNTS, leads_each=begun + each // ACCOUNTS)
    # As pgbench takes them, in no order.
    random.Random(run).shuffle(spread)
    single = leads.open_accounts(f"{run}-one", count=1, leads_each=each)
    with crew.started(1, begin=as_a_worker) as one, crew.started(2, begin=as_a_worker) as two:
        over_all = _series(here, [one, two], f"{run}-s", spread, events)
        on_one = _series(here, [one, two], f"{run}-o", single, events)
    outcome.require_clean_ledger()
    return Report(
        "Ledger: charges posted, a commit for each batch, against pgbench",
        COLUMNS,
        list(_rows(over_all, on_one)),
        f"Aims, from {AIMED_AT} a batch: spread {SPREAD_AIM:g} times pgbench, one account"
        f" {SINGLE_AIM:g} times. pgbench: {pgbench.CLIENTS} clients, one charge a transaction,"
        f" prepared statements, {PGBENCH_SECONDS} s before and after each series, the mean."
        f" Spread: {ACCOUNTS:,} accounts. Every charge was applied; the ledger is clean.",
    )


def as_a_worker() -> None:
    """Begin the life of a process as the worker's children do, the collector's settings too."""
    bootstrap._after_fork()  # noqa: SLF001 - the very thing, not a copy of it


def post_batch(run: str, numbers: range, accounts: Sequence[str]) -> None:
    """Charge the leads of these numbers in one transaction; raise what a charge is refused for."""
    postings = [_charge(run, number, accounts[number % len(accounts)]) for number in numbers]
    with transaction() as session:
        for result in post(session, postings):
            result.applied_or_raise()


def key_prefix(run: str) -> str:
    """Return how the idempotency keys of a run's charges begin.

    Not as a lead's, which would have to be on record as one too: the ledger alone is measured.
    """
    return f"bench:{run}-L"


def _charge(run: str, number: int, account: str) -> Posting:
    lead_id = f"{run}-L{number}"
    return Posting(
        account=account,
        amount=-CREDITS,
        kind=Kind.LEAD_CHARGE,
        idempotency_key=f"{key_prefix(run)}{number}:charge",
        actor="benchmark",
        description=f"Lead {lead_id}, package of 1200000 paise",
        lead_id=lead_id,
    )


@dataclass(frozen=True)
class _Series:
    """What was measured on the same accounts: rates by (processes, batch size)."""

    pgbench: float
    rates: dict[tuple[int, int], float]


@dataclass(frozen=True)
class _Share:
    """Every `processes`th of the batches, from number `number` on."""

    run: str
    accounts: Sequence[str]
    size: int
    charges: int
    number: int
    processes: int


def _series(
    here: lab.Lab, crews: Sequence[Crew], run: str, accounts: Sequence[str], events: int
) -> _Series:
    rates = {}
    with pgbench.tables(accounts=ACCOUNTS):
        before = _yardstick(here, len(accounts))
        lab.settle()
        for size in BATCH_SIZES:
            for posting in crews:
                rates[posting.size, size] = _rate(posting, run, accounts, size, events)
        after = _yardstick(here, len(accounts))
    return _Series((before + after) / 2, rates)


def _yardstick(here: lab.Lab, accounts: int) -> float:
    lab.settle()
    return pgbench.charges_per_second(here, accounts=accounts, seconds=PGBENCH_SECONDS)


def _rate(posting: Crew, run: str, accounts: Sequence[str], size: int, events: int) -> float:
    run = f"{run}-{posting.size}x{size}"
    charges = _charges(size, events)
    shares = [
        _Share(run, accounts, size, charges, number, posting.size) for number in range(posting.size)
    ]
    seconds = posting.work(_prepare, shares).seconds
    outcome.require_posted(key_prefix(run), rows=charges, amount=-CREDITS * charges)
    return charges / seconds


def _prepare(share: _Share) -> Callable[[], None]:
    # A batch before the clock starts: the connection, and what SQLAlchemy keeps of each statement.
    post_batch(f"{share.run}-warm{share.number}", range(share.size), share.accounts)

    def run() -> None:
        step = share.size * share.processes
        for first in range(share.size * share.number, share.charges, step):
            numbers = range(first, min(first + share.size, share.charges))
            post_batch(share.run, numbers, share.accounts)

    return run


def _charges(size: int, events: int) -> int:
    return min(events, size * MOST_TRANSACTIONS)


def _rows(spread: _Series, single: _Series) -> Iterator[tuple[str | int | float | None, ...]]:
    yield ("pgbench", None, spread.pgbench, 1.0, single.pgbench, 1.0, "")
    for processes in PROCESSES:
        for size in BATCH_SIZES:
            rates = [series.rates[processes, size] for series in (spread, single)]
            ratios = (rates[0] / spread.pgbench, rates[1] / single.pgbench)
            name = f"post, {processes} process{'es' if processes > 1 else ''}"
            yield (
                name, size, rates[0], ratios[0], rates[1], ratios[1],
                _verdict(*ratios) if size >= AIMED_AT else "",
            )  # fmt: skip


def _verdict(spread: float, single: float) -> str:
    missed = [
        name
        for name, ratio, aim in (
            ("spread", spread, SPREAD_AIM),
            ("one account", single, SINGLE_AIM),
        )
        if ratio < aim
    ]
    return f"missed: {' and '.join(missed)}" if missed else "met"
