"""How fast credit is spent through the API: holds placed and captured, and charges.

The API runs as the Procfile says; a platform's key, made for its product, asks it over kept-alive
connections, each for one thing at a time.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from sqlalchemy import text

import settings
from benchmarks import lab, leads, outcome, processes
from benchmarks.report import Report, WrongOutcome
from benchmarks.spending_client import CAPTURED, CHARGED, HELD, SpendingOrder, Spent, What
from billing import audit
from billing.access import keys
from db.roles import Role
from db.session import snapshot, transaction
from devstack.errors import DevstackError

DEFAULT_EVENTS = 1_000
"""Pairs of each rate, and charges."""
ACCOUNTS = 1_000
AT_ONCE = (1, 16)
WHATS: tuple[What, ...] = ("hold", "charge")
WARM_UP = 64
"""Before the clock starts: each thread of each process has its connection by then."""

COLUMNS = ("what", "accounts", "at once", "per second", "p50 ms", "p99 ms")


def measure(here: lab.Lab, *, events: int) -> Report:
    """Spend credit `events` times for each rate, spread and on one account.

    Raises `WrongOutcome`.
    """
    run = leads.new_run()
    each = 2 * len(AT_ONCE) * events + WARM_UP
    spread = leads.open_accounts(run, count=ACCOUNTS, leads_each=8 + each // ACCOUNTS)
    single = leads.open_accounts(f"{run}-one", count=1, leads_each=each)
    key = _key(run)
    lab.settle()
    rows: list[tuple[str | int | float | None, ...]] = []
    with processes.http_server(here, "api", processes.command("api"), port_variable="API_PORT") as (
        port,
        _,
    ):
        for what in WHATS:
            _spend(here, SpendingOrder(port, key, 16, f"{run}-warm-{what}", what, WARM_UP, spread))
        for accounts in (spread, single):
            for at_once in AT_ONCE:
                for what in WHATS:
                    prefix = f"{run}-{len(accounts)}x{at_once}-{what}"
                    order = SpendingOrder(port, key, at_once, prefix, what, events, accounts)
                    rows += _rows(order, _spend(here, order))
    spent = 2 * len(AT_ONCE) * events + WARM_UP
    outcome.require_posted(f"hold:api:{run}:", rows=spent, amount=-CAPTURED * spent)
    outcome.require_posted(f"api:{run}:", rows=spent, amount=-CHARGED * spent)
    _require_nothing_held(run)
    outcome.require_clean_ledger()
    return Report(
        "Spending credit through the API, with Idempotency-Keys",
        COLUMNS,
        rows,
        f"{HELD} credits held, {CAPTURED} charged, the rest released: two requests, of which each"
        " is kept for repeats. A charge is one request. Every hold was captured, nothing is held;"
        " the ledger is clean.",
    )


def _key(run: str) -> str:
    with audit.asked_by("benchmarks", door="cli"), transaction(Role.OWNER) as session:
        return keys.create(session, name=run, product="clinic_leads")


def _spend(here: lab.Lab, order: SpendingOrder) -> Spent:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.spending_client"],
        input=json.dumps(asdict(order)),
        capture_output=True,
        text=True,
        cwd=settings.PROJECT_DIR,
        env=here.environment,
        check=False,
    )
    if done.returncode != 0:
        raise DevstackError(f"the load generator failed:\n{done.stderr}")
    return Spent(**json.loads(done.stdout))


def _rows(order: SpendingOrder, spent: Spent) -> Iterator[tuple[str | int | float | None, ...]]:
    named: dict[What, dict[str, Sequence[float]]] = {
        "hold": {
            "place, then capture": spent.both,
            "... the place": spent.first,
            "... the capture": spent.second,
        },
        "charge": {"charge": spent.both},
    }
    for name, seconds in named[order.what].items():
        times = sorted(seconds)
        rate = len(times) / spent.seconds if seconds is spent.both else None
        yield (
            name, len(order.accounts), order.connections, rate,
            1000 * times[len(times) // 2], 1000 * times[len(times) * 99 // 100],
        )  # fmt: skip


def _require_nothing_held(run: str) -> None:
    with snapshot() as reading:
        held = reading.scalar(
            text("SELECT sum(held) FROM accounts WHERE starts_with(ref, :prefix)"),
            {"prefix": f"clinic:{run}-"},
        )
    if held != 0:
        raise WrongOutcome(f"{held} credits are still held, though every hold was captured")
