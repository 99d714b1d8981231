"""Monthly grants: the credit that a plan brings at the start of each month in its account's zone.

What is due stands in the plan's row: the next month and when it begins. It moves forward one by
one, by a tick or where a renewal is paid first, and back where a payment was found late
(`billing/plans/renewal.py`). So no month is granted twice and none is skipped, whatever the clock
of a tick, the zone, or a downtime did. The ledger's key `grant:{ref}:{YYYY-MM}` stands behind it.

Called by `tasks/plans/grants.py` and `billing grants run`, chunk by chunk; each chunk is a
transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import audit, catalog, ledger
from billing.errors import IdempotencyConflict
from billing.ledger import AccountBook, Kind, Outcome, Posting, PostingResult
from billing.plans import rows as plan_rows
from billing.plans.calendar import (
    UNRECKONABLE,
    month_after,
    month_of,
    months_before,
    name_of,
    start_of,
)
from billing.plans.rows import Claimed, Position
from db.models import AccountPlan

ACTOR = "system:grants"
CHUNK = 1_000
"""Accounts of one transaction."""
PUT_OFF = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DueMonth:
    """A month that has begun and was not dealt with yet."""

    month: date
    begins: datetime
    withheld: str | None
    """Why it brings nothing: `degraded`, `too_long_ago`, `no_credits`; None: it is granted."""


@dataclass(slots=True)
class Chunk:
    """What one transaction did."""

    accounts: int = 0
    granted: Counter[str] = field(default_factory=Counter)
    """Month -> how many accounts got it now."""
    withheld: Counter[str] = field(default_factory=Counter)
    known: int = 0
    """Months that the ledger had already: the row was set back, or somebody posted the key."""
    credits: int = 0
    put_off: dict[str, str] = field(default_factory=dict)
    """Account -> what is wrong with it; it is tried again in an hour."""
    end: Position | None = None
    """Where the next claim goes on; None: nothing was due there."""


def grant_due(
    session: Session,
    *,
    limit: int = CHUNK,
    behind: Position | None = None,
    through: date | None = None,
) -> Chunk:
    """Grant every month that has begun to up to `limit` accounts that nobody else works on.

    `behind` is the `end` of the run's last chunk; `through` the last month to grant, by its first
    day. All of it is applied by the caller's commit. Posts.
    """
    now = clock.now()
    plans = plan_rows.claim_grants(session, now=now, limit=limit, behind=behind, through=through)
    if not plans:
        return Chunk()
    books = ledger.lock_accounts(session, [plan.account_id for plan in plans])
    accounts = {book.id: book for book in books.values()}
    work = _Work(now, through)
    for plan in plans:
        work.take(plan, accounts[plan.account_id])
    plan_rows.move_on(session, work.moved, now=now)
    if work.postings:
        work.post(session, books.values())
    audit.record_all(session, work.withheld)
    return work.chunk


@dataclass(slots=True)
class _Work:
    """The plans of one chunk, and what is due to them."""

    now: datetime
    through: date | None
    chunk: Chunk = field(default_factory=Chunk)
    postings: list[tuple[str, Posting]] = field(default_factory=list)
    """With the name of the month."""
    withheld: list[audit.Change] = field(default_factory=list)
    moved: list[tuple[int, date, datetime]] = field(default_factory=list)
    """Account id, next month, its beginning."""

    def take(self, plan: Claimed, account: AccountBook) -> None:
        """Deal with the months of one plan; one that nobody can reckon with is put off."""
        self.chunk.end = Position(plan.next_grant_at, plan.account_id)
        self.chunk.accounts += 1
        try:
            months = [
                due
                for due in months_due(plan, account.timezone, until=self.now)
                if self.through is None or due.month <= self.through
            ]
            next_month = month_after(months[-1].month) if months else plan.next_grant_month
            next_at = start_of(next_month, account.timezone)
        except UNRECKONABLE as error:
            # The others must not wait for it.
            self.chunk.put_off[account.ref] = f"{type(error).__name__}: {error}"
            self.moved.append((plan.account_id, plan.next_grant_month, self.now + PUT_OFF))
            return
        for due in months:
            self._deal_with(plan, account.ref, due)
        self.moved.append((plan.account_id, next_month, next_at))

    def post(self, session: Session, books: Iterable[AccountBook]) -> None:
        """Post the grants, and count those that are new."""
        postings = [posting for _, posting in self.postings]
        results = ledger.post_new_credit(session, books, postings)
        for (month, posting), result in zip(self.postings, results, strict=True):
            if granted_now(result):
                self.chunk.granted[month] += 1
                self.chunk.credits += posting.amount
            else:
                self.chunk.known += 1

    def _deal_with(self, plan: Claimed, ref: str, due: DueMonth) -> None:
        month = name_of(due.month)
        if due.withheld is not None:
            self.chunk.withheld[month] += 1
            self.withheld.append(withholding(ref, due))
        else:
            grant = posting(
                ref, due.month, plan.monthly_credits, plan.plan_type, event_at=due.begins
            )
            self.postings.append((month, grant))


def months_due(
    plan: Claimed | AccountPlan, timezone: str, *, until: datetime
) -> Iterator[DueMonth]:
    """Yield the months from a plan's next on that have begun by `until`, in their order.

    Whether a month is granted is judged as of its beginning: the plan was then not degraded. One
    of a plan that was sold without monthly credit is withheld as well, so that each is on record.
    """
    oldest = oldest_granted(until, timezone)
    month = plan.next_grant_month
    while (begins := start_of(month, timezone)) <= until:
        withheld = None
        if begins >= plan.grace_ends_at:
            withheld = "degraded"
        elif month < oldest:
            withheld = "too_long_ago"
        elif not plan.monthly_credits:
            withheld = "no_credits"
        yield DueMonth(month, begins, withheld)
        month = month_after(month)


def oldest_granted(now: datetime, timezone: str) -> date:
    """Return the first month that is still caught up with."""
    return _months_ago(now, timezone, catalog.get().grants.catch_up_months)


def posting(
    account: str, month: date, amount: int, plan_type: str, *, event_at: datetime
) -> Posting:
    """Return what grants a month to an account; the same for a month whenever it is made."""
    return Posting(
        account=account,
        amount=amount,
        kind=Kind.GRANT,
        idempotency_key=f"grant:{account}:{name_of(month)}",
        actor=ACTOR,
        description=f"Monthly credit of {plan_type}, {name_of(month)}",
        event_at=event_at,
    )


def still_granted(
    account: str, plan: AccountPlan, months: Iterable[tuple[date, datetime]], timezone: str
) -> list[Posting]:
    """Return the grants of months that were passed over, but for those too long ago."""
    oldest = oldest_granted(clock.now(), timezone)
    return [
        posting(account, month, plan.monthly_credits, plan.plan_type, event_at=begins)
        for month, begins in months
        if month >= oldest and plan.monthly_credits
    ]


def withholding(account: str, due: DueMonth) -> audit.Change:
    """Return what the audit log tells of a month that brought nothing."""
    after = {"month": name_of(due.month), "reason": due.withheld}
    return audit.Change(f"account:{account}", "grant.withheld", None, after)


def granted_now(result: PostingResult) -> bool:
    """Tell whether a month was granted now; not, where it has its grant already.

    A key that stands for another amount is such a grant as well: it was sold otherwise then.
    """
    if isinstance(result.error, IdempotencyConflict):
        return False
    return result.applied_or_raise().outcome is Outcome.APPLIED


_LEFT = text("""
SELECT count(*) FROM account_plans
 WHERE next_grant_at <= :now
   AND (CAST(:through AS date) IS NULL OR next_grant_month <= :through)
""")


def preview(session: Session, *, through: date | None = None) -> Iterator[tuple[DueMonth, int]]:
    """Yield the months that `grant_due` would deal with now, and the credits that each brings.

    `session` is best a `db.session.snapshot()`; nothing is locked, and memory stays flat.
    """
    now = clock.now()
    for plan, timezone in plan_rows.each_due(session, now=now, through=through):
        try:
            months = list(months_due(plan, timezone, until=now))
        except UNRECKONABLE:
            months = [DueMonth(plan.next_grant_month, plan.next_grant_at, "put_off")]
        for due in months:
            if through is None or due.month <= through:
                yield due, 0 if due.withheld else plan.monthly_credits


def count_due(session: Session, *, through: date | None = None) -> int:
    """Return how many accounts have a month that has begun and was not dealt with."""
    return session.scalar(_LEFT, {"now": clock.now(), "through": through}) or 0


@lru_cache(maxsize=1024)  # the accounts of a chunk share a moment and a few zones
def _months_ago(now: datetime, timezone: str, months: int) -> date:
    return months_before(month_of(now, timezone), months)
