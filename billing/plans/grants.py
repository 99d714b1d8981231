"""Monthly grants: the credit that a plan brings at the start of each local month.

What is due stands in the plan's row: the next month and when it begins. It moves forward one by
one, by a tick or by a renewal that is paid before the tick, and back if a payment becomes known
late (`billing/plans/renewal.py`). So no month is granted twice and none is skipped, whatever the
clock of a tick, the zone or a downtime did. The ledger's key `grant:{ref}:{YYYY-MM}` is the second
guard.

Called by `tasks/plans/grants.py` and `billing grants run`, chunk by chunk; each chunk is one
transaction: lease the plans, decide each (`billing/plans/grant_months.py`), write.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy.orm import Session

import clock
from billing import audit, ledger
from billing.errors import IdempotencyConflict
from billing.ledger import AccountBook, Outcome, Posting, PostingResult
from billing.plans import grant_months, leases
from billing.plans.calendar import month_name
from billing.plans.grant_months import DueMonth, grant_posting, withheld_change
from billing.plans.leases import LeasedPlan, Position

ACTOR = grant_months.ACTOR
CHUNK_SIZE = 1_000
"""Accounts of one transaction."""


@dataclass(slots=True)
class GrantChunk:
    """What one transaction did."""

    accounts: int = 0
    granted: Counter[str] = field(default_factory=Counter)
    """Month -> how many accounts got it now."""
    withheld: Counter[str] = field(default_factory=Counter)
    known: int = 0
    """Months already in the ledger: the row was set back, or somebody posted the key."""
    credits: int = 0
    put_off: dict[str, str] = field(default_factory=dict)
    """Account -> what is wrong with its dates; it is tried again in an hour."""
    end: Position | None = None
    """Where the next chunk of the run goes on; None: nothing was due."""


def grant_due(
    session: Session,
    *,
    limit: int = CHUNK_SIZE,
    behind: Position | None = None,
    through: date | None = None,
) -> GrantChunk:
    """Grant every month that has begun to up to `limit` accounts that nobody else works on.

    `behind` is the `end` of the run's last chunk; `through` the last month to grant, as its first
    day. The caller's commit applies all of it. Posts.
    """
    now = clock.now()
    plans = leases.lease_due_grants(session, now=now, limit=limit, behind=behind, through=through)
    if not plans:
        return GrantChunk()
    books = ledger.lock_accounts(session, [plan.account_id for plan in plans])
    accounts = {book.id: book for book in books.values()}
    chunk = GrantChunk(accounts=len(plans), end=_position(plans[-1]))
    moved: list[tuple[int, date, datetime, str | None]] = []
    grants: list[tuple[DueMonth, Posting]] = []
    withheld: list[audit.Change] = []
    for plan in plans:
        account = accounts[plan.account_id]
        decision = grant_months.decide(plan, account.timezone, now=now, through=through)
        moved.append((plan.account_id, decision.next_month, decision.next_at, decision.problem))
        if decision.problem is not None:
            chunk.put_off[account.ref] = decision.problem
        for due in decision.months:
            if due.withheld is None:
                posting = grant_posting(account.ref, plan, due.month, event_at=due.begins)
                grants.append((due, posting))
            else:
                chunk.withheld[month_name(due.month)] += 1
                withheld.append(withheld_change(account.ref, due))
    leases.save_next_grants(session, moved, now=now)
    _post(session, grants, books, chunk)
    audit.record_all(session, withheld)
    return chunk


def granted_now(result: PostingResult) -> bool:
    """Return whether this posting granted a month now; False if the month already had its grant.

    A key with another amount is such a grant too: the plan was sold with another amount then.
    """
    if isinstance(result.error, IdempotencyConflict):
        return False
    return result.applied_or_raise().outcome is Outcome.APPLIED


def preview(session: Session, *, through: date | None = None) -> Iterator[tuple[DueMonth, int]]:
    """Yield the months that `grant_due` would handle now, and the credits that each brings.

    `session` is best a `db.session.snapshot()`; nothing is locked, and memory stays flat.
    """
    now = clock.now()
    for plan, timezone in leases.each_due_grant(session, now=now, through=through):
        decision = grant_months.decide(plan, timezone, now=now, through=through)
        if decision.problem is not None:
            yield DueMonth(plan.next_grant_month, plan.next_grant_at, "put_off"), 0
        for due in decision.months:
            yield due, 0 if due.withheld else plan.monthly_credits


def count_due(session: Session, *, through: date | None = None) -> int:
    """Return how many accounts have a month that has begun and was not handled."""
    return leases.count_due_grants(session, now=clock.now(), through=through)


def _post(
    session: Session,
    grants: Sequence[tuple[DueMonth, Posting]],
    books: dict[str, AccountBook],
    chunk: GrantChunk,
) -> None:
    """Post the grants to locked accounts, and count in `chunk` those that are new."""
    if not grants:
        return
    postings = [posting for _, posting in grants]
    results = ledger.post_new_credit(session, books.values(), postings)
    for (due, posting), result in zip(grants, results, strict=True):
        if granted_now(result):
            chunk.granted[month_name(due.month)] += 1
            chunk.credits += posting.amount
        else:
            chunk.known += 1


def _position(plan: LeasedPlan) -> Position:
    return Position(plan.next_grant_at, plan.account_id)
