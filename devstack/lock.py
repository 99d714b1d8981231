"""One stack a data folder: the lock that says so, and the end of what a killed stack left."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from devstack.errors import DevstackError

MARKER = "BILLING_STACK"
"""Environment variable that every process of a stack inherits: the data folder it belongs to."""
GRACE_SECONDS = 5
SERVERS = {"postgres": signal.SIGINT, "valkey-server": signal.SIGTERM}
"""Their own orderly ends, asked for when nothing uses them any more."""


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Hold the folder for the block; raise `DevstackError` naming the process that has it."""
    with (data_dir / "lock").open("a+") as file:
        try:
            # The kernel lets go of it when this process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise DevstackError(
                f"the stack of {data_dir} is already running (pid {pid}): use it, stop it with"
                f" `kill {pid}`, or set BILLING_DATA_DIR for a second one"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def end_leftovers(data_dir: Path) -> list[str]:
    """End every process that belongs to `data_dir`; return what was ended, for the terminal.

    Call it only when holding the lock: then whatever carries the marker has lost its supervisor.
    Servers go last, and in order, so that their data needs no repair.
    """
    found = _marked(data_dir)
    names = {process: _name(process) for process in found}
    _end([process for process in found if names[process] not in SERVERS])
    _end([process for process in found if names[process] in SERVERS])
    return [f"{names[process]} (pid {process.pid})" for process in found]


def _marked(data_dir: Path) -> list[psutil.Process]:
    myself = psutil.Process()
    mine = {myself.pid, *(parent.pid for parent in myself.parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
            if process.pid not in mine and process.environ().get(MARKER) == str(data_dir):
                found.append(process)
    return found


def _end(processes: list[psutil.Process]) -> None:
    # psutil signals no process that only happens to have the pid of one that is gone.
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(SERVERS.get(_name(process), signal.SIGTERM))
    _, stubborn = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    for process in stubborn:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=GRACE_SECONDS)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "process"
