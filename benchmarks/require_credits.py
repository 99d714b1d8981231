"""What `require_credits` adds to a request: the same Flask view without and with it, in turns.

The platform's app and the API are served by granian as in the Procfile, the API on PostgreSQL:
each paid request is a hold, the view, and a capture, with two commits each. The same two calls are
measured without Flask too, to tell the API's share of the overhead from the decorator's.
"""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from sqlalchemy import text

from benchmarks import lab, leads, load_client, outcome, paid_app, processes
from benchmarks.load import HOST, Figures
from benchmarks.report import Report, WrongOutcome
from billing_client import BillingClient
from db.session import snapshot

DEFAULT_EVENTS = 1_000
"""Requests of each kind at each number of connections, in `ROUNDS` parts."""
ACCOUNTS = 200
CONNECTIONS = (1, 8)
ROUNDS = 3
WARM_UP_REQUESTS = 100
_WSGI = "--interface wsgi --factory --workers 2 --blocking-threads 8 --log-level error"
"""How a platform may serve its app."""

Row = tuple[str | int | float | None, ...]
COLUMNS = ("view", "connections", "per second", "p50 ms", "p99 ms", "p50 ratio", "p99 ratio")


def measure(here: lab.Lab, *, events: int) -> Report:
    """Ask for the plain and the paid view in turns. Raises `WrongOutcome`."""
    run = leads.new_run()
    accounts = leads.open_accounts(run, count=ACCOUNTS, leads_each=4 + events // ACCOUNTS)
    each = events // ROUNDS
    with _platform(here) as platform:
        customer = _Customer(platform, run, accounts)
        for path in ("plain", "paid"):
            customer.ask(path, connections=max(CONNECTIONS), requests=WARM_UP_REQUESTS)
        lab.settle()
        rows: list[Row] = []
        for count in CONNECTIONS:
            plain, paid, bare = [], [], []
            for _ in range(ROUNDS):
                plain.append(customer.ask("plain", connections=count, requests=each))
                paid.append(customer.ask("paid", connections=count, requests=each))
                bare.append(customer.hold_and_capture(threads=count, times=each))
            rows += _rows(count, plain, paid, bare)
    _require_charged_once(run, customer.paid)
    outcome.require_clean_ledger()
    return Report(
        "require_credits: what it adds to a request of a Flask view",
        COLUMNS,
        rows,
        f"Median of {ROUNDS} rounds of {each:,}; the client, the app, the API and the database"
        " share the machine. Overhead: what the paid view takes more than the plain one; the ratio"
        " is paid to plain. Every paid request was charged once; the ledger is clean.",
    )


@dataclass(frozen=True)
class _Platform:
    """Where the app listens, and how the API is asked."""

    port: int
    api_url: str
    api_key: str


class _Customer:
    """Asks for views under keys that were never used."""

    def __init__(self, platform: _Platform, run: str, accounts: list[str]) -> None:
        self._platform, self._run, self._accounts = platform, run, accounts
        self._number = 0
        self.paid = 0

    def ask(self, path: str, *, connections: int, requests: int) -> Figures:
        """Send as many requests over as many connections."""
        sent = [self._request(path) for _ in range(requests)]
        opened = [load_client.Connection(self._platform.port) for _ in range(connections)]
        figures = load_client.drive(opened, sent)
        for connection in opened:
            connection.socket.close()
        if figures.statuses != {"200": requests}:
            raise WrongOutcome(f"{requests} requests of /{path} were answered {figures.statuses}")
        self.paid += requests if path == "paid" else 0
        return figures

    def hold_and_capture(self, *, threads: int, times: int) -> Figures:
        """Ask the API as the decorator does, without a view."""
        chosen = [self._next_account() for _ in range(times)]
        platform = self._platform
        with (
            BillingClient(api_url=platform.api_url, api_key=platform.api_key) as client,
            ThreadPoolExecutor(threads) as pool,
        ):
            started = time.perf_counter()
            seconds = sorted(pool.map(lambda account: _hold_and_capture(client, account), chosen))
        self.paid += times
        return Figures(
            per_second=times / (time.perf_counter() - started),
            p50_ms=1000 * seconds[times // 2],
            p99_ms=1000 * seconds[times * 99 // 100],
            statuses={},
        )

    def _next_account(self) -> str:
        self._number += 1
        return self._accounts[self._number % len(self._accounts)]

    def _request(self, path: str) -> bytes:
        account = self._next_account()
        return (
            f"POST /{path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n"
            f"X-Account: {account}\r\nIdempotency-Key: {self._run}-{self._number}\r\n\r\n"
        ).encode()


def _hold_and_capture(client: BillingClient, account: str) -> float:
    started = time.perf_counter()
    hold = client.place_hold(account, paid_app.PRICE, expires_in_seconds=900)
    client.capture_hold(hold.hold_id, amount=paid_app.USED)
    return time.perf_counter() - started


@contextmanager
def _platform(here: lab.Lab) -> Iterator[_Platform]:
    """Run the API, and the platform's app beside it on the same kind of server."""
    command = processes.command("api")
    key = secrets.token_urlsafe(24)
    api = lab.with_environment(here, API_KEYS=f"bench:{key}")
    with processes.http_server(api, "api", command, port_variable="API_PORT") as (api_port, _):
        api_url = f"http://{HOST}:{api_port}"
        app = lab.with_environment(here, BENCH_API_URL=api_url, BENCH_API_KEY=key)
        served = f"granian --host {HOST} --port $API_PORT {_WSGI} benchmarks.paid_app:create_app"
        with processes.http_server(app, "app", served, port_variable="API_PORT") as (port, _):
            yield _Platform(port, api_url, key)


def _rows(count: int, plain: list[Figures], paid: list[Figures], bare: list[Figures]) -> list[Row]:
    without, with_it = _medians(plain), _medians(paid)
    p50, p99 = with_it[1] - without[1], with_it[2] - without[2]
    return [
        ("plain", count, *without, None, None),
        ("require_credits", count, *with_it, with_it[1] / without[1], with_it[2] / without[2]),
        ("overhead", count, None, p50, p99, None, None),
        ("the two calls alone", count, *_medians(bare), None, None),
    ]


def _medians(rounds: list[Figures]) -> tuple[float, float, float]:
    return (
        median(figures.per_second for figures in rounds),
        median(figures.p50_ms for figures in rounds),
        median(figures.p99_ms for figures in rounds),
    )


_CHARGED = text("""
SELECT count(*), coalesce(sum(t.amount), 0)::bigint
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
 WHERE starts_with(a.ref, :prefix) AND t.amount < 0
""")


def _require_charged_once(run: str, requests: int) -> None:
    with snapshot() as session:
        found = tuple(session.execute(_CHARGED, {"prefix": f"clinic:{run}-"}).one())
    if found != (requests, -paid_app.USED * requests):
        raise WrongOutcome(
            f"{requests} paid requests came to {found[0]} charges of {found[1]} credits"
        )
