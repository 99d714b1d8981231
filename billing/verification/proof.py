"""`billing ledger verify`: whether every invariant holds, on one snapshot of the database.

Three parts: the set checks (`billing/verification/set_checks.py`); a walk over every ledger row
that recomputes version, balance and hash (`billing/verification/chain_walk.py`); and a comparison
with an anchor, if one was kept (`billing/verification/anchors.py`), which alone finds a history
that was rewritten with all its hashes.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.verification import anchor_file, anchors, chain_walk, process_pool, set_checks
from billing.verification.chain_walk import Segment
from billing.verification.findings import Breach, Findings
from db.session import share

ROWS_FOR_A_PROCESS = 20_000
"""Fewer rows are walked faster than a process starts."""
LARGEST_SEGMENT = 250_000
SEGMENTS_EACH = 4
"""Parts for each process, so that the others wait for at most one part at the end."""

Task = int | Segment
"""The index of a set check, or rows to walk."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification."""

    accounts: int
    transactions: int
    breaches: list[Breach]
    more_breaches: int = 0
    """Number of breaches beyond those in `breaches`, which are limited."""


def verify(
    session: Session,
    *,
    jobs: int = 0,
    against: anchor_file.Reader | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    rows_for_a_process: int | None = None,
) -> Report:
    """Check everything; `session` must be a `db.session.snapshot()`.

    `jobs` processes do the work, by default only this one; small books are always walked here.
    `against` is an anchor that was kept. `on_progress` gets the number of ledger rows walked so far
    and of all. Memory does not grow with the number of rows. A broken chain is reported once, at
    its first broken row.

    Raises `InvalidAnchor`, `VerificationFailed`, or the database's errors.
    """
    findings = Findings()
    for breach in anchors.compare(session, against) if against else ():
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


def do_task(session: Session, task: Task) -> Iterator[Breach | int]:
    """Do one task; yield breaches, and numbers of rows walked."""
    if isinstance(task, Segment):
        yield from chain_walk.walk(session, task)
    else:
        yield from set_checks.check(session, task)


def _results(
    session: Session, total: int, jobs: int, rows_for_a_process: int
) -> Generator[Breach | int, None, None]:
    in_processes = jobs > 0 and total > rows_for_a_process
    rows_each = max(total // (max(jobs, 1) * SEGMENTS_EACH), rows_for_a_process)
    # The set checks first: each is one long query, which the others should not wait for at the end.
    tasks: list[Task] = [
        *range(len(set_checks.SET_CHECKS)),
        *chain_walk.segments(session, rows_each=min(rows_each, LARGEST_SEGMENT)),
    ]
    if in_processes:
        yield from process_pool.run(share(session), do_task, tasks, jobs=jobs)
    else:
        for task in tasks:
            yield from do_task(session, task)
