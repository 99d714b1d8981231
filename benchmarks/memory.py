"""What each process of the product holds in memory after a run through all of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks import drain, lab, leads, load, processes
from benchmarks.report import Report

DEFAULT_EVENTS = 20_000
ACCOUNTS = 1_000
CONNECTIONS = 64
_MIB = 1024 * 1024

COLUMNS = ("process", "pid", "resident MiB", "peak MiB", "own MiB")


def measure(here: lab.Lab, *, events: int) -> Report:
    """Send `events` through receiver and workers, then read every process' memory."""
    run = leads.new_run()
    accounts = leads.open_accounts(run, count=ACCOUNTS, leads_each=2 + events // ACCOUNTS)
    with ExitStack() as stack:
        port, receiver = stack.enter_context(
            processes.http_server(here, "receiver", processes.command("receiver"))
        )
        worker = stack.enter_context(processes.workers(here))
        beat = stack.enter_context(
            processes.running(here, "beat", processes.command("beat"), is_up=lambda: True)
        )
        _, flower = stack.enter_context(
            processes.http_server(
                here, "flower", processes.command("flower"),
                port_variable="FLOWER_PORT", health_path="/healthcheck",
            )
        )  # fmt: skip
        load.send(here, load.Order(port, CONNECTIONS, events, run, 0, accounts))
        drain.wait_until_drained()
        found = {"receiver": receiver, "worker": worker, "beat": beat, "flower": flower}
        rows = [row for name, process in found.items() for row in _rows(name, process)]
    return Report(
        "Memory of each process",
        COLUMNS,
        rows,
        f"After {events:,} events through all of them. Own: the share of no other process"
        " (a forked child shares pages with its parent).",
    )


def peak_mib(pid: int) -> float | None:
    """Return the largest resident size so far; the kernel keeps it, on Linux alone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")),
        None,
    )


def _rows(name: str, process: psutil.Process) -> Iterator[tuple[str | int | float | None, ...]]:
    children = process.children(recursive=True)
    yield _row(f"{name} (parent)" if children else name, process)
    for number, child in enumerate(children, start=1):
        yield _row(f"{name} {number}", child)


def _row(name: str, process: psutil.Process) -> tuple[str | int | float | None, ...]:
    memory = process.memory_full_info()
    return (name, process.pid, memory.rss / _MIB, peak_mib(process.pid), memory.uss / _MIB)
