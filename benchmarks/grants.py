"""A month's grants for ten thousand to a million accounts, by the workers, against bare SQL.

Bare is one statement that raises the balances and inserts the ledger rows, without lots, hashes or
the plan's row: what the server needs at the least. Each size has databases of its own, so that no
run meets the rows of another. Peak memory is that of the worker's largest process.
"""

import time
from collections.abc import Iterator
from datetime import timedelta

import psutil
from sqlalchemy import text

import clock
from benchmarks import lab, outcome, processes
from benchmarks.memory import peak_mib
from benchmarks.report import Report, WrongOutcome
from billing.plans import month_name
from billing.plans.calendar import month_of, months_before, start_of
from db import connections
from db.session import snapshot

DEFAULT_EVENTS = 1_000_000
"""Accounts of the largest run."""
SIZES = (10_000, 100_000, 1_000_000)
CREDITS = 50_000
ZONE = "Asia/Kolkata"
AIM = 2.0
LONGEST_SECONDS = 600
POLL_SECONDS = 0.1

COLUMNS = (
    "accounts", "bare s", "bare /s", "grants s", "grants /s", "of bare's time", "peak MiB",
    "aim",
)  # fmt: skip


def measure(here: lab.Lab, *, events: int) -> Report:
    """Grant a month to each number of accounts up to `events`. Raises `WrongOutcome`."""
    sizes = [size for size in SIZES if size <= events] or [events]
    return Report(
        "Monthly grants: a run of the workers, against one bare SQL statement",
        COLUMNS,
        [row for size in sizes for row in _rows(here, size)],
        f"Aim: within {AIM:g} times bare. Two worker processes, as in the Procfile; bare has one"
        " connection. Grants make a lot, a chained hash and the plan's next month as well. Each"
        " account had its month, once; the ledger is clean.",
    )


def _rows(here: lab.Lab, accounts: int) -> Iterator[tuple[str | int | float | None, ...]]:
    with lab.database_of_its_own(here):
        _open(accounts)
        bare = _bare(accounts)
    with lab.database_of_its_own(here) as own:
        month = _open(accounts)
        seconds, peak = _granted_by_workers(own)
        outcome.require_posted("grant:", rows=accounts, amount=CREDITS * accounts)
        _require_each_once(accounts, month)
        outcome.require_clean_ledger()
    yield (
        accounts, bare, accounts / bare, seconds, accounts / seconds, seconds / bare, peak,
        "met" if seconds <= AIM * bare else "missed",
    )  # fmt: skip


_ACCOUNTS = text("""
INSERT INTO accounts (ref, product, name, timezone, head_hash, created_at)
SELECT ref, 'pharmapulse_one', 'Benchmark', :zone, sha256(convert_to(ref, 'UTF8')), :bought
  FROM (SELECT 'pharmacy:' || number AS ref FROM generate_series(1, :number) AS number) AS refs
""")
_PLANS = text("""
INSERT INTO account_plans
       (account_id, plan_type, purchased_at, anchor_on, years, service_renewal_next_due,
        grace_ends_at, service_renewal_status, next_step_at, branches, features, monthly_credits,
        next_grant_month, next_grant_at, created_at, updated_at)
SELECT id, 'pharmapulse_one', :bought, CAST(:bought AS date), 1, :due, :due, 'active', :due, 1,
       '{}', :credits, :month, :begins, :bought, :bought
  FROM accounts
""")

_YEARS = text("""
INSERT INTO plan_terms
       (account_id, number, kind, request_key, paid_at, starts_on, ends_on, actor, created_at)
SELECT account_id, 1, 'purchase', 'benchmark:' || account_id, purchased_at, anchor_on,
       CAST(anchor_on + interval '1 year' AS date), 'benchmark', purchased_at
  FROM account_plans
""")


def _open(accounts: int) -> str:
    """Open accounts with a plan, to which this month is due; return the month's name."""
    month = month_of(clock.now(), ZONE)
    begins = start_of(month, ZONE)
    bought = start_of(months_before(month, 1), ZONE) + timedelta(days=3)
    values = {
        "number": accounts, "zone": ZONE, "bought": bought, "due": bought + timedelta(days=365),
        "credits": CREDITS, "month": month, "begins": begins,
    }  # fmt: skip
    _alone(_ACCOUNTS.text, values)
    _alone(_PLANS.text, values)
    _alone(_YEARS.text, {})
    lab.settle()
    return month_name(month)


_BARE = """
WITH raised AS (
    UPDATE accounts SET balance = balance + :credits, version = version + 1
    RETURNING id, ref, version, balance, head_hash
)
INSERT INTO credit_transactions
       (account_id, version, amount, balance_after, kind, idempotency_key, request_hash, actor,
        description, event_at, created_at, row_hash)
SELECT id, version, :credits, balance, 'grant', 'grant:' || ref || ':' || :month, head_hash,
       'benchmark', 'Monthly credit', :now, :now, head_hash
  FROM raised
"""


def _bare(accounts: int) -> float:
    now = clock.now()
    values = {"credits": CREDITS, "month": month_name(month_of(now, ZONE)), "now": now}
    started = time.perf_counter()
    _alone(_BARE, values)
    seconds = time.perf_counter() - started
    outcome.require_posted("grant:", rows=accounts, amount=CREDITS * accounts)
    return seconds


def _alone(statement: str, values: dict[str, object]) -> None:
    with connections.engine().begin() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(text(statement), values)


_LEFT = text("SELECT 1 FROM account_plans WHERE next_grant_at <= :now LIMIT 1")


def _granted_by_workers(here: lab.Lab) -> tuple[float, float]:
    from tasks.plans import grants as task  # noqa: PLC0415 - the app reads the settings

    with processes.workers(here) as worker:
        started = time.perf_counter()
        task.call_worker(None)
        while _is_left():
            if time.perf_counter() - started > LONGEST_SECONDS:
                raise WrongOutcome(f"not granted after {LONGEST_SECONDS} s")
            time.sleep(POLL_SECONDS)
        return time.perf_counter() - started, _peak(worker)


def _is_left() -> bool:
    with snapshot() as session:
        return session.scalar(_LEFT, {"now": clock.now()}) is not None


def _peak(worker: psutil.Process) -> float:
    children = worker.children(recursive=True)
    return max(peak_mib(child.pid) or 0.0 for child in children)


_EACH = text("""
SELECT count(DISTINCT account_id), count(*), min(balance_after), max(balance_after)
  FROM credit_transactions WHERE idempotency_key LIKE 'grant:%:' || :month
""")


def _require_each_once(accounts: int, month: str) -> None:
    with snapshot() as session:
        found = tuple(session.execute(_EACH, {"month": month}).one())
    if found != (accounts, accounts, CREDITS, CREDITS):
        raise WrongOutcome(f"{accounts} accounts came to {found}")
