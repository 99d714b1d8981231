"""Asks the load generator, a process of its own, for deliveries; returns the figures."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass

import settings
from benchmarks.lab import Lab
from devstack.errors import DevstackError


@dataclass(frozen=True)
class Order:
    """What to send. Event numbers start at `first`, so that no two orders of a run meet."""

    port: int
    connections: int
    requests: int
    run: str
    first: int
    accounts: list[str]


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
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load_client"],
        input=json.dumps(asdict(order)),
        capture_output=True,
        text=True,
        cwd=settings.PROJECT_DIR,
        env=lab.environment,
        check=False,
    )
    if done.returncode != 0:
        raise DevstackError(f"the load generator failed:\n{done.stderr}")
    return Figures(**json.loads(done.stdout))
