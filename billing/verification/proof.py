"""`ledger verify`: does every invariant hold, on one picture of the database.

Three parts: the set-wise checks of `billing/verification/balances.py`; a walk over every ledger row
that recomputes version, balance and hash (`billing/verification/chain_walk.py`); and, where an
anchor was kept, whether the books still carry it (`billing/verification/anchors.py`), which alone
finds a history that was rewritten with all its hashes.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.verification import (
    anchor_file,
    chain_walk,
)
from billing.verification import (
    anchors as anchor,
)
from billing.verification import (
    balances as invariants,
)
from billing.verification import (
    process_pool as verify_processes,
)
from billing.verification.chain_walk import Segment
from billing.verification.findings import Breach, Findings
from db.session import share

ROWS_FOR_A_PROCESS = 20_000
"""Fewer are walked faster than a process is started."""
LARGEST_SEGMENT = 250_000
SEGMENTS_EACH = 4
"""Parts for each process: the last one to end keeps the others waiting for one part at most."""

Task = int | Segment
"""The number of a set check, or rows to walk."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification saw."""

    accounts: int
    transactions: int
    breaches: list[Breach]
    more_breaches: int = 0
    """Found beyond those in `breaches`, which are limited."""


def verify(
    session: Session,
    *,
    jobs: int = 0,
    against: anchor_file.Reader | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    rows_for_a_process: int | None = None,
) -> Report:
    """Check everything; `session` must be a `db.session.snapshot()`.

    `jobs` processes do the work, by default this one alone; small books are always walked here.
    `against` is an anchor that was kept. `on_progress` is told how many ledger rows of how many
    were walked so far. Memory does not grow with the number of rows; an account whose chain
    breaks is reported once, at its first broken row.

    Raises `InvalidAnchor`, `VerificationFailed`, or the database's errors.
    """
    findings = Findings()
    for breach in anchor.compare(session, against) if against else ():
        findings.add(breach)
    total = session.scalar(text("SELECT count(*) FROM credit_transactions")) or 0
    on_progress(0, total)
    done = 0
    smallest = ROWS_FOR_A_PROCESS if rows_for_a_process is None else rows_for_a_process
    with closing(_results(session, total, jobs, smallest)) as results:
        for result in results:
            if isinstance(result, Breach):
                findings.add(result)
            else:
                done += result
                on_progress(done, total)
    accounts = session.scalar(text("SELECT count(*) FROM accounts")) or 0
    return Report(accounts, done, findings.breaches(), findings.more)


def do(session: Session, task: Task) -> Iterator[Breach | int]:
    """Do one task; yield breaches, and numbers of rows just walked."""
    if isinstance(task, Segment):
        yield from chain_walk.walk(session, task)
    else:
        yield from invariants.check(session, task)


def _results(
    session: Session, total: int, jobs: int, rows_for_a_process: int
) -> Generator[Breach | int, None, None]:
    in_processes = jobs > 0 and total > rows_for_a_process
    rows_each = max(total // (max(jobs, 1) * SEGMENTS_EACH), rows_for_a_process)
    # The set checks first: each is one long query, and nothing should wait for it at the end.
    tasks: list[Task] = [
        *range(len(invariants.SET_CHECKS)),
        *chain_walk.segments(session, rows_each=min(rows_each, LARGEST_SEGMENT)),
    ]
    if in_processes:
        yield from verify_processes.run(share(session), do, tasks, jobs=jobs)
    else:
        for task in tasks:
            yield from do(session, task)
