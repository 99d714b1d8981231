"""What one process posts to the ledger in a second, by the size of a batch."""

import time

from benchmarks import lab, leads
from benchmarks.report import Report
from billing.kinds import Kind
from billing.ledger import post
from billing.postings import Posting
from db.session import transaction

DEFAULT_EVENTS = 10_000
ACCOUNTS = 10_000
BATCH_SIZES = (1, 10, 100, 500)
MOST_TRANSACTIONS = 1_000
"""Small batches stop here: each waits for the disk, and their rate is steady by then."""

COLUMNS = ("batch", "spread per second", "one account per second", "spread of batch 1")


def measure(_here: lab.Lab, *, events: int) -> Report:
    """Post up to `events` charges in batches of each size, spread and on one account."""
    run = leads.new_run()
    each = len(BATCH_SIZES) * events
    spread = leads.open_accounts(run, count=ACCOUNTS, leads_each=2 + each // ACCOUNTS)
    single = leads.open_accounts(f"{run}-one", count=1, leads_each=each)
    lab.settle()
    rates = [
        (size, _rate(f"{run}-s", spread, size, events), _rate(f"{run}-o", single, size, events))
        for size in BATCH_SIZES
    ]
    return Report(
        "Ledger: charges posted by one process, a commit for each batch",
        COLUMNS,
        [(size, spread_, one, spread_ / rates[0][1]) for size, spread_, one in rates],
    )


def _rate(run: str, accounts: list[str], size: int, events: int) -> float:
    count = min(events, size * MOST_TRANSACTIONS)
    started = time.perf_counter()
    for first in range(0, count, size):
        numbers = range(first, min(first + size, count))
        postings = [_charge(f"{run}-{size}", number, accounts) for number in numbers]
        with transaction() as session:
            for result in post(session, postings):
                result.applied_or_raise()
    return count / (time.perf_counter() - started)


def _charge(run: str, number: int, accounts: list[str]) -> Posting:
    lead_id = f"{run}-L{number}"
    return Posting(
        account=accounts[number % len(accounts)],
        amount=-250,
        kind=Kind.LEAD_CHARGE,
        idempotency_key=f"lead:{lead_id}:charge",
        actor="benchmark",
        description=f"Lead {lead_id}, package of 1200000 paise",
        lead_id=lead_id,
    )
