"""Both embedded servers without a supervisor, for as long as a `with` block lasts.

For tests and benchmarks that need PostgreSQL and Redis but not the processes of the product.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack import postgres, redis_server
from devstack.errors import DevstackError
from devstack.os_user import ServerUser

START_SECONDS = 30
STOP_SECONDS = 20
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - files get names that nobody can guess
_ROOM_BYTES = 3 * 1024**3
"""The servers of the tests take a few hundred MiB, and they are not alone on the machine."""


@dataclass(frozen=True)
class Servers:
    """The addresses of the running servers."""

    database_urls: Mapping[str, str]
    """The variable of each role of the database -> its address."""
    redis_url: str


@contextmanager
def temporary(*, durable: bool = True) -> Iterator[Servers]:
    """Run new, empty servers on throw-away data; both are stopped and removed at the end.

    `durable=False` spares PostgreSQL the waiting for the disk, and the disk itself if memory is
    ample: for tests that make hundreds of databases and pull no plug.
    """
    parent = None if durable else _memory()
    with tempfile.TemporaryDirectory(prefix="billing-", dir=parent) as folder, ExitStack() as stack:
        data_dir = Path(folder)
        # Nothing secret lies in the folder itself, and PostgreSQL's own user must get through.
        data_dir.chmod(0o711)
        stack.callback(postgres.remove, data_dir)
        database = postgres.prepare(data_dir, socket_dir=data_dir / "socket")
        broker = redis_server.prepare(data_dir)
        log = data_dir / "servers.log"
        fsync = [] if durable else ["--fsync=off", "--full-page-writes=off"]
        stack.enter_context(
            _running([*database.command, *fsync], log, database.is_up, signal.SIGINT, database.user)
        )
        stack.enter_context(_running(broker.command, log, broker.is_up, signal.SIGTERM, None))
        yield Servers(database.urls, broker.url)


def _memory() -> Path | None:
    """Return the folder whose files lie in memory, if there is room; a container's has 64 MiB."""
    with suppress(OSError):
        room = min(shutil.disk_usage(_SHARED_MEMORY).free, psutil.virtual_memory().available)
        if room >= _ROOM_BYTES and os.access(_SHARED_MEMORY, os.W_OK):
            return _SHARED_MEMORY
    return None


@contextmanager
def _running(
    command: list[str],
    log: Path,
    is_up: Callable[[], bool],
    stop_signal: signal.Signals,
    user: ServerUser | None,
) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            start_new_session=True, **(user.popen_arguments() if user else {}),
        )  # fmt: skip
    try:
        _wait(process, is_up, log)
        yield
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", is_up: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise DevstackError(f"{process.args!r} did not come up:\n{log.read_text()}")
        time.sleep(0.05)
