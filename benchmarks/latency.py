"""How long after the receiver's 202 the credits of a lead are gone, as another connection sees it.

A client of its own sends at a steady rate and notes when each 202 is there; a connection of its
own asks for new ledger rows again and again and notes when each is first seen. Both read
`time.monotonic`, which is one clock for all processes of a machine. `payments.py` measures the
credit that payments bring in the same way.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import psycopg2

from benchmarks import drain, lab, leads, load, outcome, processes
from benchmarks.report import Report, WrongOutcome

DEFAULT_EVENTS = 10_000
"""Events at the highest rate; every rate is kept up as long."""
RATES = (1, 50, 500)
ACCOUNTS = 10_000
CONNECTIONS = 32
WARM_UP_EVENTS, WARM_UP_RATE = 500, 100
AIM_MS = 250
POLL_PAUSE_SECONDS = 0.002
LONGEST_WAIT_SECONDS = 60

Row = tuple[str | int | float | None, ...]
COLUMNS = (
    "events /s", "events", "202 p99 ms", "visible p50 ms", "visible p99 ms", "visible max ms",
    "aim",
)  # fmt: skip


def measure(here: lab.Lab, *, events: int) -> Report:
    """Send at each rate for as long as `events` take at the highest; raise `WrongOutcome`."""
    run = leads.new_run()
    accounts = leads.open_accounts(run, count=ACCOUNTS, leads_each=3 + 2 * events // ACCOUNTS)
    course = Course(run, "leads", RATES, events, "lead_id", f"{run}-L", accounts)
    rows, note = course.run_in(here)
    outcome.require_charged_once(run, course.sent)
    outcome.require_clean_ledger()
    return Report(
        "Latency: from the receiver's 202 to the ledger row that another connection sees",
        COLUMNS,
        rows,
        f"{note} Every lead was charged once; the ledger is clean.",
    )


@dataclass(frozen=True)
class Course:
    """What is sent at which rates, and how the ledger names what came of it."""

    name: str
    """Of the run: ids of events start with it."""
    source: load.Source
    rates: tuple[int, ...]
    """Events a second, rising."""
    events: int
    """At the highest rate; every rate is kept up as long."""
    column: Literal["lead_id", "payment_id"]
    """The ledger's column that names an event's rows; with its number behind `prefix`."""
    prefix: str
    accounts: list[str] = field(default_factory=list)
    """Whose leads they are."""

    @property
    def sent(self) -> int:
        """All events of the course, those of the warm-up among them."""
        return sum(count for _, count in self._legs())

    def run_in(self, here: lab.Lab) -> tuple[list[Row], str]:
        """Send through receiver, worker and beat; return a row for each rate, and the note.

        Raises `WrongOutcome`.
        """
        rows: list[Row] = []
        late: list[float] = []
        first = 0
        with _stack(here, self.source) as port:
            for rate, count in self._legs():
                rows.append(self._send(here, port, range(first, first + count), rate, late))
                first += count
        return rows[1:], self._note(sorted(late))

    def _legs(self) -> list[tuple[int, int]]:
        seconds = self.events / max(self.rates)
        legs = [(rate, round(rate * seconds)) for rate in self.rates]
        return [(WARM_UP_RATE, WARM_UP_EVENTS), *legs]

    def _send(self, here: lab.Lab, port: int, numbers: range, rate: int, late: list[float]) -> Row:
        order = load.SteadyOrder(
            port, CONNECTIONS, len(numbers), self.name, numbers.start, self.accounts, rate,
            source=self.source,
        )  # fmt: skip
        wanted = [f"{self.prefix}{number}" for number in numbers]
        lab.settle()
        with _Watcher(here, self.column) as watcher:
            answers = load.send_steadily(here, order)
            watcher.wait_for(wanted)
        if answers.statuses != {"202": len(numbers)}:
            raise WrongOutcome(f"{len(numbers)} events were answered {answers.statuses}")
        late += watcher.pauses
        aim = AIM_MS if rate == max(self.rates) else None
        return _row(rate, answers, [watcher.seen_at[name] for name in wanted], aim)

    def _note(self, late: list[float]) -> str:
        return (
            f"{self.events / max(self.rates):.0f} s at each rate, {CONNECTIONS} connections; 202"
            f" counts from when a request was due. Aim: p99 below {AIM_MS} ms at"
            f" {max(self.rates)} a second. Rows are looked for again and again, so that a commit"
            f" is seen late by up to {1000 * quantile(late, 0.5):.1f} ms (half of the looks),"
            f" {1000 * quantile(late, 0.99):.1f} ms (99 %), {1000 * late[-1]:.0f} ms (longest):"
            " never early."
        )


@contextmanager
def _stack(here: lab.Lab, source: load.Source) -> Iterator[int]:
    """Run receiver, worker and beat as in the Procfile; yield the receiver's port."""
    with (
        processes.http_server(here, "receiver", processes.command("receiver")) as (port, _),
        processes.workers(here),
        processes.running(here, "beat", processes.command("beat"), is_up=lambda: True),
    ):
        yield port
        drain.wait_until_drained(source)


class _Watcher:
    """Notes when each event's ledger row is first seen, by a thread with its own connection."""

    def __init__(self, here: lab.Lab, column: str) -> None:
        self.seen_at: dict[str, float] = {}
        self.pauses: list[float] = []
        """Between one look and the next one's end: by so much a row may be seen late."""
        self._url, self._column = here.libpq_url, column
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> "_Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()

    def wait_for(self, wanted: Sequence[str]) -> None:
        """Return when all the events are seen; raise `WrongOutcome` after a minute."""
        give_up_at = time.monotonic() + LONGEST_WAIT_SECONDS
        while missing := len(wanted) - len(self.seen_at):
            if time.monotonic() > give_up_at or not self._thread.is_alive():
                raise WrongOutcome(f"{missing} of {len(wanted)} events were not seen in the ledger")
            time.sleep(0.05)

    def _run(self) -> None:
        connection = psycopg2.connect(self._url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                self._watch(cursor)
        finally:
            connection.close()

    def _watch(self, cursor: "psycopg2.extensions.cursor") -> None:
        cursor.execute(_PREPARE.format(column=self._column))
        cursor.execute("SELECT coalesce(max(id), 0) FROM credit_transactions")
        ((last,),) = cursor.fetchall()
        # Ids are drawn before the commit: a lower one may be seen after a higher one.
        skipped: set[int] = set()
        looked_at = time.monotonic()
        while not self._end.is_set():
            cursor.execute("EXECUTE new_rows (%s, %s)", (last, list(skipped)))
            rows = cursor.fetchall()
            now = time.monotonic()
            self.pauses.append(now - looked_at)
            looked_at = now
            for row_id, name in rows:
                skipped.update(range(last + 1, row_id))
                skipped.discard(row_id)
                last = max(last, row_id)
                self.seen_at.setdefault(name, now)
            time.sleep(POLL_PAUSE_SECONDS)


_PREPARE = """
PREPARE new_rows (bigint, bigint[]) AS
SELECT id, {column} FROM credit_transactions WHERE id > $1 OR id = ANY($2) ORDER BY id
"""


def _row(rate: int, answers: load.Answers, seen_at: Sequence[float], aim_ms: int | None) -> Row:
    times = zip(answers.due_at, answers.answered_at, seen_at, strict=True)
    answered, visible = [], []
    for due, answer, seen in times:
        answered.append(1000 * (answer - due))
        visible.append(1000 * (seen - answer))
    answered.sort()
    visible.sort()
    p99 = quantile(visible, 0.99)
    verdict = "" if aim_ms is None else "met" if p99 < aim_ms else "missed"
    return (
        rate, len(visible), quantile(answered, 0.99), quantile(visible, 0.5), p99, visible[-1],
        verdict,
    )  # fmt: skip


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    return ordered[int(len(ordered) * share)]
