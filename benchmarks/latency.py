"""How long after the receiver's 202 the credits of a lead are gone, as another connection sees it.

A client of its own sends at a steady rate and notes when each 202 is there; a connection of its
own asks for new ledger rows again and again and notes when each is first seen. Both read
`time.monotonic`, which is one clock for all processes of a machine.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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

COLUMNS = (
    "events /s", "events", "202 p99 ms", "visible p50 ms", "visible p99 ms", "visible max ms",
    "aim",
)  # fmt: skip


def measure(here: lab.Lab, *, events: int) -> Report:
    """Send at each rate for as long as `events` take at the highest; raise `WrongOutcome`."""
    run = leads.new_run()
    accounts = leads.open_accounts(run, count=ACCOUNTS, leads_each=3 + 2 * events // ACCOUNTS)
    seconds = events / max(RATES)
    rows: list[tuple[str | int | float | None, ...]] = []
    late: list[float] = []
    with _stack(here) as port:
        sent = 0
        for rate, count in (
            (WARM_UP_RATE, WARM_UP_EVENTS),
            *((rate, round(rate * seconds)) for rate in RATES),
        ):
            order = load.SteadyOrder(port, CONNECTIONS, count, run, sent, accounts, rate)
            wanted = [f"{run}-L{number}" for number in range(sent, sent + count)]
            sent += count
            lab.settle()
            with _Watcher(here) as watcher:
                answers = load.send_steadily(here, order)
                watcher.wait_for(wanted)
            if answers.statuses != {"202": count}:
                raise WrongOutcome(f"{count} events were answered {answers.statuses}")
            rows.append(_row(rate, answers, [watcher.seen_at[lead] for lead in wanted]))
            late += watcher.pauses
    outcome.require_charged_once(run, sent)
    outcome.require_clean_ledger()
    late.sort()
    return Report(
        "Latency: from the receiver's 202 to the ledger row that another connection sees",
        COLUMNS,
        rows[1:],
        f"{seconds:.0f} s at each rate, {CONNECTIONS} connections; 202 counts from when a request"
        f" was due. Aim: p99 below {AIM_MS} ms at {max(RATES)} a second. Rows are looked for again"
        f" and again, so that a commit is seen late by up to {1000 * _quantile(late, 0.5):.1f} ms"
        f" (half of the looks), {1000 * _quantile(late, 0.99):.1f} ms (99 %),"
        f" {1000 * late[-1]:.0f} ms (longest): never early. Every lead was charged once; the"
        " ledger is clean.",
    )


@contextmanager
def _stack(here: lab.Lab) -> Iterator[int]:
    """Run receiver, worker and beat as in the Procfile; yield the receiver's port."""
    with (
        processes.http_server(here, "receiver", processes.command("receiver")) as (port, _),
        processes.workers(here),
        processes.running(here, "beat", processes.command("beat"), is_up=lambda: True),
    ):
        yield port
        drain.wait_until_drained()


class _Watcher:
    """Notes when each lead's ledger row is first seen, by a thread with its own connection."""

    def __init__(self, here: lab.Lab) -> None:
        self.seen_at: dict[str, float] = {}
        self.pauses: list[float] = []
        """Between one look and the next one's end: by so much a row may be seen late."""
        self._url = here.libpq_url
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> "_Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()

    def wait_for(self, wanted: Sequence[str]) -> None:
        """Return when all the leads are seen; raise `WrongOutcome` after a minute."""
        give_up_at = time.monotonic() + LONGEST_WAIT_SECONDS
        while missing := len(wanted) - len(self.seen_at):
            if time.monotonic() > give_up_at or not self._thread.is_alive():
                raise WrongOutcome(f"{missing} of {len(wanted)} leads were not seen in the ledger")
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
        cursor.execute(_PREPARE)
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
            for row_id, lead_id in rows:
                skipped.update(range(last + 1, row_id))
                skipped.discard(row_id)
                last = max(last, row_id)
                self.seen_at.setdefault(lead_id, now)
            time.sleep(POLL_PAUSE_SECONDS)


_PREPARE = """
PREPARE new_rows (bigint, bigint[]) AS
SELECT id, lead_id FROM credit_transactions WHERE id > $1 OR id = ANY($2) ORDER BY id
"""


def _row(
    rate: int, answers: load.Answers, seen_at: Sequence[float]
) -> tuple[str | int | float | None, ...]:
    times = zip(answers.due_at, answers.answered_at, seen_at, strict=True)
    answered, visible = [], []
    for due, answer, seen in times:
        answered.append(1000 * (answer - due))
        visible.append(1000 * (seen - answer))
    answered.sort()
    visible.sort()
    p99 = _quantile(visible, 0.99)
    verdict = ("met" if p99 < AIM_MS else "missed") if rate == max(RATES) else ""
    return (
        rate, len(visible), _quantile(answered, 0.99), _quantile(visible, 0.5), p99, visible[-1],
        verdict,
    )  # fmt: skip


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[int(len(ordered) * share)]
