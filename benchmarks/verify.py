"""How fast `billing ledger verify` proves a large ledger, and in how much memory, by its jobs.

The rows are made here and copied in, with lots, movements, leads and hashes as the product writes
them, only faster, into a database of their own; the command runs as a process of its own.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

import clock
from benchmarks import lab, leads, memory
from benchmarks.report import Report, WrongOutcome
from billing.ledger import Kind, Posting, queries
from billing.ledger.hash_chain import first_hash, row_hash
from db.bulk import copy_rows
from db.session import transaction

DEFAULT_EVENTS = 1_000_000
"""Ledger rows."""
ACCOUNTS = 1_000
LARGE_SHARE = 10
"""Each tenth row is the same account's: a large account is walked in parts, too."""
CREDITS = 250
PRICE_PAISE = 1_200_000
"""What a lead of so many credits is about."""
JOBS = (1, 2)

COLUMNS = ("command", "jobs", "seconds", "rows /s", "parent peak MiB", "child peak MiB")

_MIB = 1024 * 1024
_BATCH = 20_000
_WATCH_SECONDS = 0.1
"""To look more often would take from the cores that are measured."""


def measure(here: lab.Lab, *, events: int) -> Report:
    """Fill a ledger with `events` rows, then verify it with one job and with two; anchor it.

    Raises `WrongOutcome`.
    """
    with lab.database_of_its_own(here) as own:
        fill(leads.new_run(), rows=events)
        lab.settle()
        anchor = own.folder / "anchor.txt"
        rows = [_row(own, "anchor", None, anchor, events)]
        rows += [_row(own, "verify", jobs, None, events) for jobs in JOBS]
        rows.append(_row(own, "verify --against", JOBS[-1], anchor, events))
    return Report(
        f"Ledger: {events:,} rows on {ACCOUNTS:,} accounts proved",
        COLUMNS,
        rows,
        "Peaks are resident sizes, of one process each; the server's memory is not among them."
        " Rows of `anchor`: those it vouches for. Every row was seen and found right.",
    )


def _row(
    here: lab.Lab, command: str, jobs: int | None, anchor: Path | None, expected: int
) -> tuple[str, int | None, float, float, float, float | None]:
    arguments = ["--json"]
    if jobs is not None:
        arguments += ["--jobs", str(jobs)]
    if command == "anchor":
        arguments = []
    elif anchor:
        arguments += ["--against", str(anchor)]
    output = anchor if command == "anchor" and anchor else here.folder / "verify.json"
    ran = _watched(here, ["ledger", command.split(maxsplit=1)[0], *arguments], output)
    rows = _rows_in(output)
    if rows != expected:
        raise WrongOutcome(f"billing ledger {command} saw {rows} rows of {expected}")
    return (command, jobs, ran.seconds, rows / ran.seconds, ran.parent_mib, ran.child_mib)


def _rows_in(output: Path) -> int:
    if output.suffix == ".txt":
        return sum(int(line.split()[1]) for line in output.open() if not line.startswith("#"))
    document: dict[str, Any] = json.loads(output.read_text())
    if not document["ok"]:
        raise WrongOutcome(f"the ledger of the benchmark is broken: {document['breaches'][:3]}")
    return int(document["transactions"])


@dataclass(frozen=True)
class _Ran:
    seconds: float
    parent_mib: float
    child_mib: float | None


def _watched(here: lab.Lab, arguments: list[str], output: Path) -> _Ran:
    """Run `billing` and look at the memory of its processes while it lasts."""
    command = [str(Path(sys.executable).with_name("billing")), *arguments]
    parent = child = 0.0
    started = time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(command, env=here.environment, stdout=file)
    while process.poll() is None:
        parent = max(parent, _peak_mib(process.pid))
        for found in _children(process.pid):
            child = max(child, _peak_mib(found))
        time.sleep(_WATCH_SECONDS)
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise WrongOutcome(f"billing {' '.join(arguments)} ended with {process.returncode}")
    return _Ran(seconds, parent, child or None)


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _peak_mib(pid: int) -> float:
    """Return the kernel's own peak; if it keeps none, the size at this moment."""
    try:
        return memory.peak_mib(pid) or float(psutil.Process(pid).memory_info().rss) / _MIB
    except psutil.Error:
        return 0.0


@dataclass(slots=True)
class _Book:
    """One account as the rows go by."""

    id: int
    ref: str
    lot_id: int
    head: bytes
    balance: int = 0
    version: int = 0


def fill(run: str, *, rows: int) -> None:
    """Write `rows` ledger rows over the accounts: a purchase on each, then charges."""
    refs = [f"clinic:{run}-{number}" for number in range(ACCOUNTS)]
    credit = CREDITS * rows
    now = clock.now()
    with transaction() as session:
        copy_rows(
            session, "accounts",
            ("ref", "product", "name", "timezone", "head_hash", "created_at"),
            [(ref, "clinic_leads", "Benchmark", "Asia/Kolkata", b"", now) for ref in refs],
        )  # fmt: skip
        query = text("SELECT ref, id FROM accounts WHERE starts_with(ref, :prefix)")
        found = session.execute(query, {"prefix": f"clinic:{run}-"})
        ids = {row.ref: row.id for row in found}
        lots = queries.next_lot_ids(session, ACCOUNTS)
    books = [
        _Book(ids[ref], ref, lot, first_hash(ref)) for ref, lot in zip(refs, lots, strict=True)
    ]
    for first in range(0, rows, _BATCH):
        _write(run, range(first, min(first + _BATCH, rows)), books, credit, now)
    _finish(books)


def _write(run: str, numbers: range, books: list[_Book], credit: int, now: datetime) -> None:
    with transaction() as session:
        transactions, lots, movements, charged = [], [], [], []
        ids = queries.next_transaction_ids(session, len(numbers))
        for number, id_ in zip(numbers, ids, strict=True):
            large = number >= ACCOUNTS and number % LARGE_SHARE == 0
            book = books[0 if large else number % ACCOUNTS]
            if book.version == 0:
                transactions.append(
                    _transaction(book, id_, credit, "top_up", f"{run}:{number}", now)
                )
                lots.append((book.lot_id, book.id, id_, "purchase", credit, credit, now))
            else:
                key = f"lead:{run}-L{number}:charge"
                transactions.append(_transaction(book, id_, -CREDITS, "lead_charge", key, now))
                movements.append((id_, book.lot_id, id_, -CREDITS))
                charged.append((f"{run}-L{number}", book.id, PRICE_PAISE, CREDITS, "charged", id_,
                                now, now, now))  # fmt: skip
        copy_rows(session, "credit_transactions", _TRANSACTION, transactions)
        copy_rows(session, "credit_lots", _LOT, lots)
        copy_rows(session, "lot_movements", _MOVEMENT, movements)
        copy_rows(session, "lead_charges", _LEAD, charged)


_TRANSACTION = (
    "id", "account_id", "version", "amount", "balance_after", "kind", "idempotency_key",
    "request_hash", "lead_id", "actor", "description", "event_at", "created_at", "row_hash",
)  # fmt: skip
_LOT = ("id", "account_id", "transaction_id", "source", "amount", "remaining", "created_at")
_LEAD = (
    "lead_id", "account_id", "package_price_paise", "credits", "state", "transaction_id",
    "occurred_at", "created_at", "updated_at",
)  # fmt: skip
_MOVEMENT = ("charge_id", "lot_id", "transaction_id", "amount")


def _transaction(
    book: _Book, id_: int, amount: int, kind: str, key: str, now: datetime
) -> tuple[object, ...]:
    book.version += 1
    book.balance += amount
    lead_id = key.split(":")[1] if kind == "lead_charge" else None
    description = f"Lead {lead_id}, package of {PRICE_PAISE} paise" if lead_id else "Purchase"
    request_hash = Posting(
        book.ref, amount, Kind(kind), key, "benchmark", description, lead_id
    ).request_hash()
    book.head = row_hash(
        book.head, version=book.version, amount=amount, balance_after=book.balance, kind=kind,
        idempotency_key=key, request_hash=request_hash, lead_id=lead_id, payment_id=None,
        dispute_id=None, actor="benchmark", description=description, event_at=now,
        created_at=now,
    )  # fmt: skip
    return (
        id_, book.id, book.version, amount, book.balance, kind, key, request_hash, lead_id,
        "benchmark", description, now, now, book.head,
    )  # fmt: skip


def _finish(books: list[_Book]) -> None:
    with transaction() as session:
        for book in books:
            session.execute(
                text(
                    "UPDATE accounts SET balance = :balance, version = :version,"
                    " head_hash = :head WHERE id = :id"
                ),
                {"balance": book.balance, "version": book.version, "head": book.head,
                 "id": book.id},
            )  # fmt: skip
            session.execute(
                text("UPDATE credit_lots SET remaining = :remaining WHERE id = :id"),
                {"remaining": book.balance, "id": book.lot_id},
            )
