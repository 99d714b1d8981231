"""Notices: how many are delivered a second, how soon, and what they cost the charging of leads.

The process of notices runs as in the Procfile, and calls a platform on this computer.
"""

import json
import os
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clock
import settings
from benchmarks import drain, lab, leads, outcome, processes
from benchmarks.latency import quantile
from benchmarks.notice_receiver import HANGS
from benchmarks.report import Report, WrongOutcome
from billing import accounts, audit, notices
from billing.leads import LeadRequest, charge_leads
from billing.topics import Topic
from db import after_commit, outbox
from db.outbox import NewNotice
from db.session import transaction

DEFAULT_EVENTS = 4_000
"""Deliveries of each backlog, and five times as many leads of each drain."""
ENDPOINTS = (1, 10, 100)
RATE = 50
SECONDS = 20
AIM_MS = 500
HANGING = 30
PAIRS = 2
LONGEST_SECONDS = 300

Row = tuple[str | int | float | None, ...]
COLUMNS = (
    "what", "endpoints", "deliveries", "per second", "p50 ms", "p99 ms", "charging p50", "aim",
)  # fmt: skip


def measure(here: lab.Lab, *, events: int) -> Report:
    """Deliver backlogs, then leads as they are charged, then drain leads; raise `WrongOutcome`."""
    run = leads.new_run()
    refs = leads.open_accounts(run, count=100, leads_each=5 + 3 * RATE * SECONDS // 100)
    single = leads.open_accounts(f"{run}-one", count=1, leads_each=5 + RATE * SECONDS)
    rows: list[Row] = []
    with _calling_this_computer(here) as there, _receiver(there) as platform:
        lab.settle()
        _, charging = _charge(f"{run}-0", refs)
        alone_ms = quantile(charging, 0.5)
        rows.append(("leads charged, no notices sent", 0, 0, None, None, None, alone_ms, ""))
        with _process(there):
            rows += [_backlog(platform, refs, n, max(events // n, 10)) for n in ENDPOINTS]
            alone = _steady(platform, run, single, "a", hanging=0)
            rows.append(("commit to handler, 50 /s", 1, *alone.cells(), _verdict(alone)))
            free = _steady(platform, run, refs, "b", hanging=0)
            rows.append(("... to 100 platforms", 100, *free.cells(), _verdict(free)))
            held = _steady(platform, run, refs, "c", hanging=HANGING)
            met = held.quantile(0.99) <= max(2 * free.quantile(0.99), 50)
            verdict = "at most twice: " + ("met" if met else "missed")
            rows.append((f"... of which {HANGING} hang", 100, *held.cells(), verdict))
        rows += _drains(there, platform, 5 * events)
    outcome.require_clean_ledger()
    return Report(
        "Notices, from the commit to the platform's handler",
        COLUMNS,
        rows,
        f"{SECONDS} s at {RATE} leads a second, each charged by a transaction of its own; from the"
        " commit's return to the platform's first line of code, of the platforms that answer;"
        " `charging`: of the charge itself, to its commit."
        f" Leads are drained {PAIRS} times without and {PAIRS} times with the process of notices,"
        " in turns; it places what the drain writes, for a platform that takes all but high-volume"
        " topics. On few cores they share the processors.",
    )


@dataclass(frozen=True)
class _Times:
    """From commit to handler, in milliseconds, ascending."""

    milliseconds: Sequence[float]
    charging: Sequence[float]
    """How long each charge took by itself, in milliseconds, ascending."""

    def quantile(self, share: float) -> float:
        return quantile(self.milliseconds, share)

    def cells(self) -> tuple[int, float | None, float, float, float]:
        charged = quantile(self.charging, 0.5)
        return len(self.milliseconds), None, self.quantile(0.5), self.quantile(0.99), charged


def _verdict(times: _Times) -> str:
    return f"below {AIM_MS} ms: " + ("met" if times.quantile(0.99) < AIM_MS else "missed")


class _Platform:
    """The receiver's process, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def url(self, path: str) -> str:
        return f"{self._url}{path}"

    def count(self) -> int:
        """Return how many notices came and were answered since `arrivals`."""
        found: int = self._get("/count")
        return found

    def arrivals(self) -> list[tuple[str, str, float]]:
        """Return path, lead and moment of each notice since it was last asked."""
        return [(path, lead, at) for path, lead, at in self._get("/arrivals")]

    def wait_for(self, count: int) -> None:
        """Return when so many came; raise `WrongOutcome` after minutes."""
        give_up_at = time.monotonic() + LONGEST_SECONDS
        while (found := self.count()) < count:
            if time.monotonic() > give_up_at:
                raise WrongOutcome(f"{found} of {count} notices came")
            time.sleep(0.01)

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url(path), timeout=30) as answer:  # noqa: S310 - ours
            return json.load(answer)


def _backlog(platform: _Platform, refs: Sequence[str], count: int, each: int) -> Row:
    """Deliver `each` notices to each of `count` endpoints, written before the clock starts."""
    with _endpoints([platform.url(f"/e{n}") for n in range(count)]):
        account = _account_id(refs[0])
        payload = {"lead_id": "L-17", "credits": 180}
        new = [NewNotice(Topic.LEAD_PARKED, f"lead:L-{n}", account, payload) for n in range(each)]
        lab.settle()
        platform.arrivals()
        with transaction() as session:
            outbox.write(session, new, now=clock.now())
        started = time.monotonic()
        _nudge()
        platform.wait_for(count * each)
        arrivals = platform.arrivals()
        rate = len(arrivals) / (max(at for _, _, at in arrivals) - started)
        return ("a backlog", count, len(arrivals), rate, None, None, None, "")


def _steady(
    platform: _Platform, run: str, refs: Sequence[str], name: str, *, hanging: int
) -> _Times:
    """Charge leads at a steady rate; return how long each took to the platform that it is for.

    Each account has an endpoint of its own; the first `hanging` never answer.
    """
    urls = [platform.url(f"{HANGS.decode() if n < hanging else '/e'}{n}") for n in range(len(refs))]
    due_here = [n for n in range(RATE * SECONDS) if n % len(refs) >= hanging]
    with _endpoints(urls, of=refs, topics=(str(Topic.LEAD_CHARGED),)):
        lab.settle()
        platform.arrivals()
        committed, charging = _charge(f"{run}-{name}", refs)
        platform.wait_for(len(due_here))
    times = sorted(1000 * (at - committed[lead]) for _, lead, at in platform.arrivals())
    if len(times) != len(due_here):
        raise WrongOutcome(f"{len(times)} of {len(due_here)} notices came, or some came twice")
    return _Times(times, charging)


def _charge(run: str, refs: Sequence[str]) -> tuple[dict[str, float], list[float]]:
    """Charge leads at a steady rate, each in a transaction of its own.

    Returns when each was committed, and how long each took in milliseconds, ascending.
    """
    committed: dict[str, float] = {}
    took = []
    started = time.monotonic()
    for number in range(RATE * SECONDS):
        time.sleep(max(0.0, started + number / RATE - time.monotonic()))
        lead = f"{run}-{number}"
        request = LeadRequest(
            lead_id=lead, account=refs[number % len(refs)], package_price_paise=350_000
        )
        began = time.monotonic()
        with audit.asked_by("benchmarks", door="cli"), transaction() as session:
            charge_leads(session, [request], actor="benchmarks")
        committed[lead] = time.monotonic()
        took.append(1000 * (committed[lead] - began))
    return committed, sorted(took)


def _drains(here: lab.Lab, platform: _Platform, events: int) -> Iterator[Row]:
    """Drain leads without and with the process of notices, in turns; yield the means."""
    run = leads.new_run()
    refs = leads.open_accounts(run, count=1_000, leads_each=2 + 5 * PAIRS * events // 1_000)
    rates: dict[bool, list[float]] = {False: [], True: []}
    with _endpoints([platform.url("/drain")]):
        for turn in range(2 * PAIRS):
            with_notices = turn % 4 in {1, 2}  # without, with, with, without
            with ExitStack() as stack:
                if with_notices:
                    stack.enter_context(_process(here))
                _settle_notices()
                stack.enter_context(processes.workers(here))
                drain.record_backlog(
                    f"{run}-warm{turn}", events=drain.WARM_UP_EVENTS, accounts=refs
                )
                drain.seconds_to_drain()
                _settle_notices()
                drain.record_backlog(f"{run}-{turn}", events=events, accounts=refs)
                lab.settle()
                rates[with_notices].append(events / drain.seconds_to_drain())
            outcome.require_charged_once(f"{run}-{turn}", events)
    without, beside = (sum(rates[key]) / PAIRS for key in (False, True))
    yield ("leads drained, no notices sent", 0, events, without, None, None, None, "")
    yield ("... beside notices", 1, events, beside, None, None, None, f"{beside / without:.2f}")


@contextmanager
def _endpoints(
    urls: Sequence[str], *, of: Sequence[str] = (), topics: Sequence[str] = ("*",)
) -> Iterator[None]:
    """Have endpoints for the block, each of an account of its own if some are given."""
    made = []
    with audit.asked_by("benchmarks", door="cli"), transaction() as session:
        for number, url in enumerate(urls):
            added = notices.endpoints.add(
                session, url=url, product="clinic_leads", topics=topics, actor="benchmarks",
                account=of[number] if of else None,
            )  # fmt: skip
            made.append(added.endpoint_id)
    try:
        yield
    finally:
        with audit.asked_by("benchmarks", door="cli"), transaction() as session:
            for endpoint_id in made:
                notices.endpoints.remove(session, endpoint_id)


@contextmanager
def _calling_this_computer(here: lab.Lab) -> Iterator[lab.Lab]:
    """Let notices go to plain HTTP on this computer: to have a clock that can be moved allows it.

    And let what this process commits nudge, as a server does.
    """
    variables = {
        settings.CLOCK_VARIABLE: str(Path(here.folder, "clock.json")),
        "WEB_SECRETS": "a-secret-of-the-benchmarks-that-is-long-enough",
    }
    os.environ |= variables
    settings.get.cache_clear()
    from tasks.plumbing import notice_nudges  # noqa: PLC0415 - the app reads the settings

    notice_nudges.begin()
    try:
        yield lab.with_environment(here, **variables)
    finally:
        after_commit.call_on_notices(None)
        for name in variables:
            del os.environ[name]
        settings.get.cache_clear()


@contextmanager
def _receiver(here: lab.Lab) -> Iterator[_Platform]:
    with processes.http_server(
        here, "platform", "python -m benchmarks.notice_receiver $RECEIVER_PORT",
        health_path="/count",
    ) as (port, _):  # fmt: skip
        yield _Platform(port)


@contextmanager
def _process(here: lab.Lab) -> Iterator[None]:
    """Run the process of notices as in the Procfile; begin the block when it takes tasks."""
    with processes.workers(here, name="notices"):
        yield


def _settle_notices() -> None:
    """Give everything that was written its place, so that each turn begins with nothing to do."""
    more = True
    while more:
        with transaction() as session:
            more = notices.fan_out(session, now=clock.now()).more


def _nudge() -> None:
    from tasks.plumbing import nudges  # noqa: PLC0415 - the app reads the settings

    nudges.send_notices()


def _account_id(ref: str) -> int:
    with transaction() as session:
        found = accounts.find(session, ref)
    if found is None:
        raise WrongOutcome(f"{ref} is gone")
    return found.id
