"""Asks the load generator, a process of its own, for deliveries; returns the figures."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import settings
from benchmarks.lab import Lab
from devstack.errors import DevstackError

HOST = "127.0.0.1"
Source = Literal["leads", "razorpay"]


@dataclass(frozen=True)
class Order:
    """What to send. Event numbers start at `first`, so that no two orders of a run meet."""

    port: int
    connections: int
    requests: int
    run: str
    first: int
    accounts: list[str]
    """Whose leads they are; nobody's if what is sent are no leads."""
    source: Source = field(default="leads", kw_only=True)
    """Whose deliveries: the last part of the door's address, too."""


@dataclass(frozen=True)
class Figures:
    """What came back: rate of all answers, latencies in milliseconds, answers by status."""

    per_second: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]

    @property
    def accepted(self) -> int:
        """The deliveries answered 202."""
        return self.statuses.get("202", 0)


def send(lab: Lab, order: Order) -> Figures:
    """Send every event of the order over kept-alive connections, each answered before the next."""
    return Figures(**_answer_of("benchmarks.load_client", lab, order))


@dataclass(frozen=True)
class SteadyOrder(Order):
    """What to send at a steady rate, however long the answers take."""

    per_second: float


@dataclass(frozen=True)
class Answers:
    """When each request was due and was answered, by `time.monotonic`, which processes share."""

    due_at: list[float]
    answered_at: list[float]
    statuses: dict[str, int]


def send_steadily(lab: Lab, order: SteadyOrder) -> Answers:
    """Send every event of the order when it is due, over whichever connection is free."""
    return Answers(**_answer_of("benchmarks.steady_client", lab, order))


def _answer_of(module: str, lab: Lab, order: Order) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(asdict(order)),
        capture_output=True,
        text=True,
        cwd=settings.PROJECT_DIR,
        env=lab.environment,
        check=False,
    )
    if done.returncode != 0:
        raise DevstackError(f"the load generator failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
