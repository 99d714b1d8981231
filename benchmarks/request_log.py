"""What the log of requests costs the API: the same requests with it and without, in turns.

Two APIs run as the Procfile says, one of them with API_REQUESTS_KEPT=0. Both are asked for the
same: an account by a valid key, and by none, which is the cheapest answer that is noted. A busy
second hits both alike; the ratios are of the medians.
"""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

import psutil

from benchmarks import lab, leads, load_client, processes
from benchmarks.load import HOST
from benchmarks.report import Cell, Report, WrongOutcome

DEFAULT_EVENTS = 6_000
"""Requests of each kind to each API, in `ROUNDS` parts."""
ROUNDS = 6
CONNECTIONS = 8
WARM_UP_REQUESTS = 300

COLUMNS = (
    "request", "noted /s", "not noted /s", "ratio", "noted CPU ms", "not noted CPU ms", "CPU ratio",
)  # fmt: skip


def measure(here: lab.Lab, *, events: int) -> Report:
    """Ask both APIs in turns. Raises `WrongOutcome`."""
    [account] = leads.open_accounts(leads.new_run(), count=1, leads_each=1)
    key = secrets.token_urlsafe(24)
    rows: list[tuple[Cell, ...]] = []
    with ExitStack() as stack:
        apis = []
        for kept in ("10000", "0"):
            chosen = lab.with_environment(here, API_KEYS=f"bench:{key}", API_REQUESTS_KEPT=kept)
            running = processes.http_server(
                chosen, f"api-{kept}", processes.command("api"), port_variable="API_PORT"
            )
            apis.append(stack.enter_context(running))
        for name, sent_key, status in (("an account", key, "200"), ("without a key", "", "401")):
            for port, process in apis:
                _ask(port, process, account, sent_key, status, requests=WARM_UP_REQUESTS)
            lab.settle()
            figures: list[list[tuple[float, float]]] = [[], []]
            for turn in range(ROUNDS):
                for which in (0, 1) if turn % 2 else (1, 0):
                    port, process = apis[which]
                    one = _ask(port, process, account, sent_key, status, requests=events // ROUNDS)
                    figures[which].append(one)
            rows.append((name, *_columns(*figures)))
    return Report(
        "The log of requests: what it costs the API",
        COLUMNS,
        rows,
        f"{CONNECTIONS} connections; CPU of all processes of the API, for one request.",
    )


def _ask(
    port: int, process: psutil.Process, account: str, key: str, status: str, *, requests: int
) -> tuple[float, float]:
    """Send so many requests; return how many a second, and the API's CPU for one, in ms."""
    login = f"Authorization: Bearer {key}\r\n" if key else ""
    request = f"GET /v1/accounts/{account} HTTP/1.1\r\nHost: {HOST}\r\n{login}\r\n".encode()
    opened = [load_client.Connection(port) for _ in range(CONNECTIONS)]
    before = _cpu_seconds(process)
    figures = load_client.drive(opened, [request] * requests)
    spent = _cpu_seconds(process) - before
    for connection in opened:
        connection.socket.close()
    if figures.statuses != {status: requests}:
        raise WrongOutcome(f"{requests} requests were answered {figures.statuses}")
    return figures.per_second, 1000 * spent / requests


def _cpu_seconds(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def _columns(
    noted: Sequence[tuple[float, float]], plain: Sequence[tuple[float, float]]
) -> tuple[float, ...]:
    [(noted_rate, noted_cpu), (plain_rate, plain_cpu)] = (
        tuple(median(column) for column in zip(*rounds, strict=True)) for rounds in (noted, plain)
    )
    rates = (noted_rate, plain_rate, noted_rate / plain_rate)
    return (*rates, noted_cpu, plain_cpu, noted_cpu / plain_cpu)
