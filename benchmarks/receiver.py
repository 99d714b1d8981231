"""How many signed lead events a second are recorded durably, and how long each waits.

The yardstick is the same server with the same flags and requests, answering an empty Flask view.
The two take turns, so that a busy minute of the machine hits both.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from sqlalchemy import text

from benchmarks import drain, lab, leads, load, processes
from benchmarks.report import Report, WrongOutcome
from db.session import snapshot
from devstack.errors import DevstackError

DEFAULT_EVENTS = 10_000
ACCOUNTS = 10_000
CONNECTIONS = (16, 64)
ROUNDS = 3
WARM_UP_REQUESTS = 1_000
PROGRAM = "python -m webhook_receiver "
"""Checks the environment and becomes granian, which serves the receiver's app."""

COLUMNS = (
    "receiver", "connections", "per second", "p50 ms", "p99 ms", "of empty", "not 202",
)  # fmt: skip


class Figures(defaultdict[int, list[load.Figures]]):
    """Number of connections -> the figures of each round."""

    def __init__(self) -> None:
        super().__init__(list)


@dataclass(frozen=True)
class Ports:
    """Where the two servers listen that are held against each other."""

    empty: int
    receiver: int


def measure(here: lab.Lab, *, events: int) -> Report:
    """Send `events` in each round, at each number of connections; raise `WrongOutcome`."""
    run = leads.new_run()
    accounts = leads.open_accounts(run, count=ACCOUNTS, leads_each=2 + 20 * events // ACCOUNTS)
    sender = Sender(here, run, accounts)
    with both_servers(here) as ports:
        empty, idle = sender.take_turns(ports, events=events)
        busy = Figures()
        with processes.workers(here):
            drain.wait_until_drained()
            for count in CONNECTIONS * ROUNDS:
                busy[count].append(sender.send(ports.receiver, connections=count, requests=events))
            drain.wait_until_drained()
    sender.require_recorded(ports.receiver)
    return Report(
        "Receiver: signed lead events answered 202 after their commit",
        COLUMNS,
        [
            *rows("empty view", empty, empty),
            *rows("recorded, nudge sent, no worker", idle, empty),
            *rows("recorded while 2 workers drain", busy, empty),
        ],
        note(events),
    )


@contextmanager
def both_servers(here: lab.Lab) -> Iterator[Ports]:
    """Run the receiver, and the empty view on the same server, for the block."""
    command = processes.command("receiver")
    empty_command = _serving_the_empty_app(command)
    with (
        processes.http_server(here, "empty", empty_command) as (empty, _),
        processes.http_server(here, "receiver", command) as (port, _),
    ):
        yield Ports(empty, port)


class Sender:
    """Sends under numbers that go on from order to order, and counts what was accepted."""

    def __init__(
        self,
        here: lab.Lab,
        run: str,
        accounts: Sequence[str] = (),
        *,
        source: load.Source = "leads",
    ) -> None:
        self._lab, self._run, self._accounts = here, run, list(accounts)
        self._source = source
        self._next = 0
        self._accepted: dict[int, int] = {}

    def take_turns(self, ports: Ports, *, events: int) -> tuple[Figures, Figures]:
        """Measure the empty view and the receiver, in turns; return the figures of each."""
        empty, recorded = Figures(), Figures()
        for warm in (ports.empty, ports.receiver):
            self.send(warm, connections=max(CONNECTIONS), requests=WARM_UP_REQUESTS)
        lab.settle()
        for count in CONNECTIONS * ROUNDS:
            empty[count].append(self.send(ports.empty, connections=count, requests=events))
            recorded[count].append(self.send(ports.receiver, connections=count, requests=events))
        return empty, recorded

    def send(self, port: int, *, connections: int, requests: int) -> load.Figures:
        """Send as many requests over as many connections."""
        order = load.Order(
            port, connections, requests, self._run, self._next, self._accounts, source=self._source
        )
        self._next += requests
        figures = load.send(self._lab, order)
        self._accepted[port] = self._accepted.get(port, 0) + figures.accepted
        return figures

    def require_recorded(self, port: int) -> None:
        """Raise `WrongOutcome` unless the inbox holds just what `port` answered 202."""
        with snapshot() as session:
            found = session.scalar(
                text(
                    "SELECT count(*) FROM inbound_events"
                    " WHERE source = :source AND event_id LIKE :run"
                ),
                {"source": self._source, "run": f"{self._run}-%"},
            )
        if found != self._accepted[port]:
            raise WrongOutcome(f"{self._accepted[port]} answers 202, but {found} rows in the inbox")


def rows(name: str, figures: Figures, yardstick: Figures) -> list[tuple[str | int | float, ...]]:
    """Return the table's row for each number of connections."""
    return [_row(name, count, figures[count], yardstick[count]) for count in CONNECTIONS]


def note(events: int) -> str:
    """Return what the figures are held against."""
    return (
        f"Median of {ROUNDS} rounds of {events:,}; the load generator shares the machine."
        " Aim: 3,000 a second recorded, p99 below 50 ms. Rows in the inbox and answers 202 agree."
    )


def _serving_the_empty_app(command: str) -> str:
    """Return the receiver's command with every flag it has, for the app that does nothing."""
    program, found, flags = command.partition(PROGRAM)
    if program or not found:
        raise DevstackError(f"the Procfile's receiver does not start with {PROGRAM}: {command}")
    address = f"--host {load.HOST} --port $RECEIVER_PORT"
    return f"granian {address} {flags} benchmarks.empty_app:create_server"


def _row(
    name: str, connections: int, figures: list[load.Figures], yardstick: list[load.Figures]
) -> tuple[str | int | float, ...]:
    rate = median(f.per_second for f in figures)
    return (
        name,
        connections,
        rate,
        median(f.p50_ms for f in figures),
        median(f.p99_ms for f in figures),
        rate / median(f.per_second for f in yardstick),
        sum(sum(f.statuses.values()) - f.accepted for f in figures),
    )
