"""The load generator: `python -m benchmarks.load_client`, an `Order` on stdin, `Figures` on stdout.

It shares the machine with what it measures, so it is lean: requests are built and signed before
the clock starts, and one thread on one selector drives every connection. Each connection sends
its next request when it has the answer to the last one.
"""

import json
import selectors
import socket
import sys
import time
from collections import Counter
from dataclasses import asdict

from benchmarks.load import HOST, Figures, Order
from benchmarks.webhooks import signed_requests

ANSWER_SECONDS = 60
"""A connection without an answer for so long ends the measurement."""


class Connection:
    """One kept-alive connection and the answer that is coming in on it."""

    __slots__ = ("body", "number", "received", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self.received = b""
        self.sent_at = 0.0
        self.number = 0
        """Which request it is at, for a caller that asks."""
        self.body = b""
        """Of the last answer."""

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        # Some hundred bytes into an empty socket buffer: they always fit.
        if self.socket.send(request) != len(request):
            raise RuntimeError("a request did not fit into the socket's buffer")

    def status(self) -> str | None:
        """Read what is there; return the status once the answer is whole."""
        part = self.socket.recv(65536)
        if not part:
            raise RuntimeError("the server closed a connection that was to be kept")
        self.received += part
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return None
        self.received, self.body = b"", body
        return head[9:12].decode()


def main() -> None:
    order = Order(**json.load(sys.stdin))
    requests = signed_requests(order)
    connections = [Connection(order.port) for _ in range(order.connections)]
    json.dump(asdict(drive(connections, requests)), sys.stdout)


def drive(connections: list[Connection], requests: list[bytes]) -> Figures:
    """Send every request, one after the other on each connection; return the figures."""
    latencies: list[float] = []
    statuses: Counter[str] = Counter()
    waiting = iter(requests)
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    started = time.perf_counter()
    for connection, request in zip(connections, waiting, strict=False):
        connection.send(request)
    while len(latencies) < len(requests):
        ready = selector.select(ANSWER_SECONDS)
        if not ready:
            raise RuntimeError(f"no answer in {ANSWER_SECONDS} s")
        for key, _ in ready:
            connection = key.data
            status = connection.status()
            if status is None:
                continue
            latencies.append(time.perf_counter() - connection.sent_at)
            statuses[status] += 1
            following = next(waiting, None)
            if following is not None:
                connection.send(following)
    seconds = time.perf_counter() - started
    latencies.sort()
    return Figures(
        per_second=len(latencies) / seconds,
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
        statuses=dict(statuses),
    )


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0] or 0)


if __name__ == "__main__":
    main()
