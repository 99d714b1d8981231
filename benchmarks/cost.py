"""What lots and the hash chain cost a `post`: the time of a batch with everything on, and without.

The product has no switch for them; it is here that they are cut out of it. The books that come of
it are broken, so they lie in a database of their own, which is dropped. All variants take turns,
batch by batch, so that a busy second hits them alike.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest.mock import patch

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks import crew, lab, leads, ledger
from benchmarks.report import Report, WrongOutcome
from billing.ledger import AccountBook, account_book, queries, writes
from billing.ledger.account_book import Changes, Entry
from billing.ledger.lots import Lot
from db.bulk import copy_rows
from db.session import snapshot

DEFAULT_EVENTS = 40_000
"""Charges of each variant, spread and on one account each."""
ACCOUNTS = 2_000
BATCH_SIZE = 200
LOT_TABLES = ("credit_lots", "lot_movements")

COLUMNS = ("charging", "off", "per second", "µs each", "saved µs", "cost of what is off")


@dataclass(frozen=True)
class _Variant:
    name: str
    lots: bool
    hash_chain: bool


VARIANTS = (
    _Variant("nothing", lots=True, hash_chain=True),
    _Variant("hash chain", lots=True, hash_chain=False),
    _Variant("lots", lots=False, hash_chain=True),
    _Variant("lots and hash chain", lots=False, hash_chain=False),
)


def measure(here: lab.Lab, *, events: int) -> Report:
    """Post `events` charges of each variant, spread and on one account; raise `WrongOutcome`."""
    rounds = max(1, events // BATCH_SIZE)
    with lab.database_of_its_own(here):
        run = leads.new_run()
        charged = len(VARIANTS) * (rounds + 1) * BATCH_SIZE
        spread = leads.open_accounts(run, count=ACCOUNTS, leads_each=2 + charged // ACCOUNTS)
        single = leads.open_accounts(f"{run}-one", count=1, leads_each=charged)
        lab.settle()
        with crew.started(1, begin=ledger.as_a_worker) as posting:
            rows = [
                row
                for name, share in (
                    (f"over {ACCOUNTS:,} accounts", _Share(f"{run}-s", spread, rounds)),
                    ("on 1 account", _Share(f"{run}-o", single, rounds)),
                )
                for row in _rows(name, posting.work(_prepare, [share]).results[0])
            ]
        for case in "so":
            for variant in VARIANTS:
                _require_as_named(f"{run}-{case}", variant, charges=(rounds + 1) * BATCH_SIZE)
    return Report(
        f"Ledger: what lots and the hash chain cost, one process, batches of {BATCH_SIZE}",
        COLUMNS,
        rows,
        f"Median of {rounds:,} batches of each; the variants take turns, batch by batch. Cost: the"
        " share of the time with nothing off. Columns and indexes stay, empty: what is measured is"
        " computing, loading and writing.",
    )


@dataclass(frozen=True)
class _Share:
    run: str
    accounts: Sequence[str]
    rounds: int


def _prepare(share: _Share) -> Callable[[], list[float]]:
    numbers = (range(first, first + BATCH_SIZE) for first in _firsts())

    def post_one(variant: _Variant) -> float:
        with _without(variant):
            started = time.perf_counter()
            ledger.post_batch(_run_of(share.run, variant), next(numbers), share.accounts)
            return time.perf_counter() - started

    def run() -> list[float]:
        seconds: list[list[float]] = [[] for _ in VARIANTS]
        for turn in range(share.rounds):
            # Each comes after each other one in turn.
            for position in _order(turn):
                seconds[position].append(post_one(VARIANTS[position]))
        return [median(of_variant) for of_variant in seconds]

    for variant in VARIANTS:
        post_one(variant)  # the connection, and what SQLAlchemy keeps of each statement
    return run


def _firsts() -> Iterator[int]:
    first = 0
    while True:
        yield first
        first += BATCH_SIZE


def _order(turn: int) -> list[int]:
    count = len(VARIANTS)
    there = [(turn + step) % count for step in range(count)]
    return there if turn // count % 2 == 0 else there[::-1]


def _run_of(run: str, variant: _Variant) -> str:
    return f"{run}{VARIANTS.index(variant)}"


def _rows(name: str, seconds: Sequence[float]) -> Iterator[tuple[str | int | float | None, ...]]:
    whole = seconds[0] / BATCH_SIZE * 1e6
    for variant, of_batch in zip(VARIANTS, seconds, strict=True):
        each = of_batch / BATCH_SIZE * 1e6
        first = variant is VARIANTS[0]
        saved = None if first else whole - each
        cost = "" if first else f"{100 * (whole - each) / whole:.1f} %"
        yield (name, variant.name, 1e6 / each, each, saved, cost)


@contextmanager
def _without(variant: _Variant) -> Iterator[None]:
    """Cut out of the product what the variant is without."""
    with ExitStack() as stack:
        if not variant.hash_chain:
            stack.enter_context(patch.object(account_book, "row_hash", _no_hash))
        if not variant.lots:
            stack.enter_context(patch.object(AccountBook, "_take", _take_from_no_lot))
            stack.enter_context(patch.object(queries, "load_lots_and_debts", _load_no_lots))
            stack.enter_context(patch.object(writes, "copy_rows", _copy_no_lots))
        yield


def _no_hash(_previous: bytes, **_columns: object) -> bytes:
    return b""


def _take_from_no_lot(_book: AccountBook, _needed: int, _entry: Entry, _changes: Changes) -> None:
    pass


def _load_no_lots(_session: Session, _books: list[AccountBook]) -> dict[int, Lot]:
    return {}


def _copy_no_lots(session: Session, table: str, *columns_and_rows: Any) -> None:
    if table not in LOT_TABLES:
        copy_rows(session, table, *columns_and_rows)


_WRITTEN = text("""
SELECT count(*), count(*) FILTER (WHERE row_hash <> ''),
       (SELECT count(*) FROM lot_movements m JOIN credit_transactions c ON c.id = m.charge_id
         WHERE starts_with(c.idempotency_key, :prefix))
  FROM credit_transactions WHERE starts_with(idempotency_key, :prefix)
""")


def _require_as_named(run: str, variant: _Variant, *, charges: int) -> None:
    """Raise `WrongOutcome` unless just what the variant is without was left out."""
    prefix = ledger.key_prefix(_run_of(run, variant))
    with snapshot() as session:
        rows, hashed, moved = session.execute(_WRITTEN, {"prefix": prefix}).one()
    expected = (charges, charges * variant.hash_chain, charges * variant.lots)
    # A charge takes from a second lot if it empties the first.
    if (rows, hashed) != expected[:2] or not expected[2] <= moved <= 2 * expected[2]:
        raise WrongOutcome(
            f"off: {variant.name}; {charges} charges came to {rows} rows, {hashed} hashes,"
            f" {moved} movements"
        )
