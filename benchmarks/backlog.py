"""How fast a backlog is charged when work comes in bulk: `charge_many`, and the webhook's inbox.

The yardstick is a no-op task, one a message, on the same worker processes, before and after.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import calls, drain, lab, leads, messages, outcome, processes
from benchmarks.report import Report
from tasks.leads import calls as lead_calls

DEFAULT_EVENTS = 100_000
"""Leads of each backlog."""
ACCOUNTS = 10_000
CHARGE_MANY = "tasks.leads.charge_many"
LEADS_A_MESSAGE = (500, 1_000)
NOOP_MESSAGES = 5_000
"""Before the backlogs, and again after them."""
WARM_UP = 2_000
AIM = 10.0

COLUMNS = ("backlog", "leads", "messages", "leads /s", "times no-op", "aim")


def measure(here: lab.Lab, *, events: int) -> Report:
    """Charge `events` leads through each way in bulk; raise `WrongOutcome`."""
    run = leads.new_run()
    backlogs = 1 + len(LEADS_A_MESSAGE)
    accounts = leads.open_accounts(
        run, count=ACCOUNTS, leads_each=2 + backlogs * (2 + events // ACCOUNTS)
    )
    noops = [f"{run}-{when}" for when in ("warm", "before", "after")]
    for name, count in zip(noops, (WARM_UP, NOOP_MESSAGES, NOOP_MESSAGES), strict=True):
        messages.write(name, messages.NOOP, calls.lead_fields(name, count, accounts))
    counts = {
        size: messages.write(
            f"{run}-{size}", CHARGE_MANY, _calls(f"{run}-{size}", events, size, accounts)
        )
        for size in LEADS_A_MESSAGE
    }
    messages.write(f"{run}-many", CHARGE_MANY, _calls(f"{run}-many", WARM_UP, 500, accounts))
    with processes.workers(here, include=messages.INCLUDE):
        messages.seconds_to_take(noops[0])
        _seconds_to_charge(f"{run}-many")
        before = messages.seconds_to_take(noops[1])
        rates = []
        for size in LEADS_A_MESSAGE:
            lab.settle()
            rates.append(events / _seconds_to_charge(f"{run}-{size}"))
        drain.record_backlog(f"{run}-web", events=events, accounts=accounts)
        lab.settle()
        rates.append(events / drain.seconds_to_drain())
        after = messages.seconds_to_take(noops[2])
    for name in (*map(str, LEADS_A_MESSAGE), "web"):
        outcome.require_charged_once(f"{run}-{name}", events)
    outcome.require_clean_ledger()
    noop = 2 * NOOP_MESSAGES / (before + after)
    names = [f"charge_many of {size:,}" for size in LEADS_A_MESSAGE] + ["webhook, in the inbox"]
    rows: list[tuple[str | int | float | None, ...]] = [
        (f"no-op, {when}", None, NOOP_MESSAGES, NOOP_MESSAGES / seconds, None, "")
        for when, seconds in (("before", before), ("after", after))
    ]
    for name, written, rate in zip(names, [*counts.values(), None], rates, strict=True):
        verdict = "met" if rate >= AIM * noop else "missed"
        rows.append((name, events, written, rate, rate / noop, verdict))
    return Report(
        f"Backlog: leads over {ACCOUNTS:,} accounts charged in bulk, against no-op messages",
        COLUMNS,
        rows,
        "From the moment the workers may begin until no row is pending; recording is part of"
        f" charge_many, and was done before for the webhook. Aim: {AIM:g} times no-op, before"
        " and after taken together. Every lead was charged once; the ledger is clean.",
    )


def _calls(run: str, events: int, size: int, accounts: Sequence[str]) -> Iterator[dict[str, Any]]:
    fields = list(calls.lead_fields(run, events, accounts))
    return ({"leads": fields[start : start + size]} for start in range(0, events, size))


def _seconds_to_charge(run: str) -> float:
    messages.let_loose(run)
    started = time.perf_counter()
    messages.wait_until_taken()
    drain.wait_until_drained(lead_calls.SOURCE)
    return time.perf_counter() - started
