"""Spends over the API: `python -m benchmarks.spending_client`, a `SpendingOrder` on stdin.

`Spent` on stdout. Lean, as `benchmarks/load_client.py` is: one thread on one selector drives every
connection, and each begins its next when it has the answer to its last.
"""

import json
import selectors
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from benchmarks.load_client import ANSWER_SECONDS, Connection

HELD, CAPTURED, CHARGED = 200, 150, 100
"""Credits. An estimate is held, less is charged, and the rest is released."""

What = Literal["hold", "charge"]


@dataclass(frozen=True)
class SpendingOrder:
    """What to spend. `prefix` begins the Idempotency-Keys: no two orders may share one."""

    port: int
    key: str
    connections: int
    prefix: str
    what: What
    times: int
    accounts: list[str]


@dataclass(frozen=True)
class Spent:
    """Seconds that it took: in all, and of each request; of a charge there is no second."""

    seconds: float
    first: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)


def main() -> None:
    order = SpendingOrder(**json.load(sys.stdin))
    json.dump(asdict(_drive(order)), sys.stdout)


def _drive(order: SpendingOrder) -> Spent:
    spender = _Spender(order)
    selector = selectors.DefaultSelector()
    connections = [Connection(order.port) for _ in range(min(order.connections, order.times))]
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    started = time.perf_counter()
    for connection in connections:
        spender.begin(connection)
    while len(spender.spent.both) < order.times:
        ready = selector.select(ANSWER_SECONDS)
        if not ready:
            raise RuntimeError(f"no answer in {ANSWER_SECONDS} s")
        for key, _ in ready:
            spender.read(key.data)
    return replace(spender.spent, seconds=time.perf_counter() - started)


class _Spender:
    """What each connection is at."""

    def __init__(self, order: SpendingOrder) -> None:
        self.order = order
        self.spent = Spent(0)
        self.waiting = iter(range(order.times))
        self.began: dict[int, float] = {}
        self.held: dict[int, float] = {}
        """Number -> when its hold was answered."""

    def begin(self, connection: Connection) -> None:
        """Ask for the next one, if there is one left."""
        number = next(self.waiting, None)
        if number is None:
            return
        order = self.order
        path, amount = ("/v1/holds", HELD) if order.what == "hold" else ("/v1/charges", CHARGED)
        body = {"account": order.accounts[number % len(order.accounts)], "amount": amount}
        connection.number = number
        self.began[number] = time.perf_counter()
        connection.send(_request(order, path, str(number), body))

    def read(self, connection: Connection) -> None:
        """Read what is there; once the answer is whole, go on with the next step."""
        status = connection.status()
        if status is None:
            return
        now, number = time.perf_counter(), connection.number
        if status not in {"200", "201"}:
            raise RuntimeError(f"answered {status}: {connection.body.decode()[:500]}")
        if self.order.what == "hold" and number not in self.held:
            self.spent.first.append(now - self.began[number])
            self.held[number] = now
            path = f"/v1/holds/{json.loads(connection.body)['hold_id']}/capture"
            body = {"amount": CAPTURED}
            connection.send(_request(self.order, path, f"{number}-capture", body))
            return
        if self.order.what == "hold":
            self.spent.second.append(now - self.held[number])
        self.spent.both.append(now - self.began[number])
        self.begin(connection)


def _request(order: SpendingOrder, path: str, once: str, body: Mapping[str, object]) -> bytes:
    sent = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {order.key}\r\nidempotency-key: {order.prefix}-{once}\r\n"
        f"content-length: {len(sent)}\r\n\r\n"
    ).encode() + sent


if __name__ == "__main__":
    main()
