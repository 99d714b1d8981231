"""Starts the product's processes exactly as the Procfile says, for as long as a block lasts."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

import settings
from benchmarks.lab import Lab
from devstack import ports, probes, procfile
from devstack.errors import DevstackError

START_SECONDS = 40
STOP_SECONDS = 20
_LOG_TAIL_BYTES = 2_000


def command(name: str) -> str:
    """Return the Procfile's command line of a process."""
    return procfile.read(settings.PROJECT_DIR / "Procfile")[name]


@contextmanager
def running(
    lab: Lab, name: str, command_line: str, *, is_up: Callable[[], bool], **variables: str
) -> Iterator[psutil.Process]:
    """Run a shell command in a session of its own; yield it when `is_up`, stop it at the end."""
    log = lab.folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command_line}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=settings.PROJECT_DIR,
            env=lab.environment | variables,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
                raise DevstackError(f"{name} did not come up:\n{tail}")
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        _stop(process)


@contextmanager
def http_server(
    lab: Lab,
    name: str,
    command_line: str,
    *,
    port_variable: str = "RECEIVER_PORT",
    health_path: str = "/healthz",
    **variables: str,
) -> Iterator[tuple[int, psutil.Process]]:
    """Run an HTTP server on a free port; yield the port and the process when it answers.

    `variables` are of its environment, beside those of all processes.
    """
    port = ports.find_free()
    with running(
        lab,
        name,
        command_line,
        is_up=lambda: probes.http_status(port, health_path) == 200,
        **variables,
        **{port_variable: str(port)},
    ) as process:
        yield port, process


@contextmanager
def workers(lab: Lab, *, include: str = "", name: str = "worker") -> Iterator[psutil.Process]:
    """Run a Celery worker of the Procfile; yield it when it takes tasks.

    `include` names a module of further tasks, for a yardstick that the product does not have.
    """
    log = lab.folder / f"{name}.log"

    def is_up() -> bool:
        return log.exists() and b" ready." in log.read_bytes()

    log.unlink(missing_ok=True)
    command_line = command(name) + (f" --include {include}" if include else "")
    with running(lab, name, command_line, is_up=is_up) as process:
        yield process


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    # What did not stop, and children that outlived their parent: the session is ours.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
