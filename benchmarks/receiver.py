"""How many signed lead events a second are recorded durably, and how long each waits.

The yardstick is the same server with the same flags and requests, answering an empty Flask view.
The two take turns, so that a busy minute of the machine hits both.
"""

from collections import defaultdict
from contextlib import ExitStack
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


class _Figures(defaultdict[int, list[load.Figures]]):
    """Number of connections -> the figures of each round."""

    def __init__(self) -> None:
        super().__init__(list)


def measure(here: lab.Lab, *, events: int) -> Report:
    """Send `events` in each round, at each number of connections; raise `WrongOutcome`."""
    run = leads.new_run()
    accounts = leads.open_accounts(run, count=ACCOUNTS, leads_each=2 + 20 * events // ACCOUNTS)
    sender = _Sender(here, run, accounts)
    empty, idle, busy = _Figures(), _Figures(), _Figures()
    with ExitStack() as stack:
        command = processes.command("receiver")
        empty_port, _ = stack.enter_context(
            processes.http_server(here, "empty", _serving_the_empty_app(command))
        )
        port, _ = stack.enter_context(processes.http_server(here, "receiver", command))
        for warm in (empty_port, port):
            sender.send(warm, connections=max(CONNECTIONS), requests=WARM_UP_REQUESTS)
        lab.settle()
        for count in CONNECTIONS * ROUNDS:
            empty[count].append(sender.send(empty_port, connections=count, requests=events))
            idle[count].append(sender.send(port, connections=count, requests=events))
        with processes.workers(here):
            drain.wait_until_drained()
            for count in CONNECTIONS * ROUNDS:
                busy[count].append(sender.send(port, connections=count, requests=events))
            drain.wait_until_drained()
    sender.require_recorded(port)
    rows = [
        _row(name, count, figures[count], empty[count])
        for name, figures in (
            ("empty view", empty),
            ("recorded, nudge sent, no worker", idle),
            ("recorded while 2 workers drain", busy),
        )
        for count in CONNECTIONS
    ]
    return Report(
        "Receiver: signed lead events answered 202 after their commit",
        COLUMNS,
        rows,
        f"Median of {ROUNDS} rounds of {events:,}; the load generator shares the machine."
        " Aim: 3,000 a second recorded, p99 below 50 ms. Rows in the inbox and answers 202 agree.",
    )


class _Sender:
    """Sends under numbers that go on from order to order, and counts what was accepted."""

    def __init__(self, here: lab.Lab, run: str, accounts: list[str]) -> None:
        self._lab, self._run, self._accounts = here, run, accounts
        self._next = 0
        self._accepted: dict[int, int] = {}

    def send(self, port: int, *, connections: int, requests: int) -> load.Figures:
        order = load.Order(port, connections, requests, self._run, self._next, self._accounts)
        self._next += requests
        figures = load.send(self._lab, order)
        self._accepted[port] = self._accepted.get(port, 0) + figures.accepted
        return figures

    def require_recorded(self, port: int) -> None:
        """Raise `WrongOutcome` unless the inbox holds just what `port` answered 202."""
        with snapshot() as session:
            rows = session.scalar(
                text("SELECT count(*) FROM inbound_events WHERE event_id LIKE :run"),
                {"run": f"{self._run}-%"},
            )
        if rows != self._accepted[port]:
            raise WrongOutcome(f"{self._accepted[port]} answers 202, but {rows} rows in the inbox")


def _serving_the_empty_app(command: str) -> str:
    """Return the receiver's command with every flag it has, for the app that does nothing."""
    program, found, flags = command.partition(PROGRAM)
    if program or not found:
        raise DevstackError(f"the Procfile's receiver does not start with {PROGRAM}: {command}")
    return f"granian {flags} benchmarks.empty_app:create_app"


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
