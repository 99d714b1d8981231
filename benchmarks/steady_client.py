"""Sends at a steady rate: `python -m benchmarks.steady_client`, a `SteadyOrder` on stdin.

`Answers` on stdout. A request is sent when it is due, whatever became of those before it; where
no connection is free it waits for one, and counts from when it was due.
"""

import json
import selectors
import sys
import time
from collections import Counter, deque
from dataclasses import asdict

from benchmarks.load import Answers, SteadyOrder
from benchmarks.load_client import ANSWER_SECONDS, Connection
from benchmarks.webhooks import signed_requests

_LEAD_IN_SECONDS = 0.2


def main() -> None:
    order = SteadyOrder(**json.load(sys.stdin))
    requests = signed_requests(order)
    connections = [Connection(order.port) for _ in range(order.connections)]
    json.dump(asdict(_drive(connections, requests, 1 / order.per_second)), sys.stdout)


def _drive(connections: list[Connection], requests: list[bytes], interval: float) -> Answers:
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    idle = deque(connections)
    started = time.monotonic() + _LEAD_IN_SECONDS
    due_at = [started + number * interval for number in range(len(requests))]
    answered_at = [0.0] * len(requests)
    statuses: Counter[str] = Counter()
    following = 0
    while statuses.total() < len(requests):
        while following < len(requests) and idle and due_at[following] <= time.monotonic():
            connection = idle.popleft()
            connection.number = following
            connection.send(requests[following])
            following += 1
        waits_for_time = following < len(requests) and idle
        pause = due_at[following] - time.monotonic() if waits_for_time else ANSWER_SECONDS
        ready = selector.select(max(0, pause))
        if not ready and not waits_for_time:
            raise RuntimeError(f"no answer in {ANSWER_SECONDS} s")
        for key, _ in ready:
            connection = key.data
            status = connection.status()
            if status is not None:
                answered_at[connection.number] = time.monotonic()
                statuses[status] += 1
                idle.append(connection)
    return Answers(due_at, answered_at, dict(statuses))


if __name__ == "__main__":
    main()
