"""`python -m devstack run` as a real process, for the tests of the stack and of the product."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
from circus.client import CircusClient

import settings
from db.roles import VARIABLES
from devstack import host, lock, mails, payment_gateways, ports, postgres

START_SECONDS = 100
STOP_SECONDS = 40
"""The stack promises 30; the rest is for a busy machine."""

SET_BY_THE_STACK = (
    *VARIABLES.values(), "REDIS_URL", "LEAD_WEBHOOK_SECRETS", "API_KEYS",
    "FLOWER_BASIC_AUTH", settings.CLOCK_VARIABLE, *payment_gateways.VARIABLES, *mails.VARIABLES,
)  # fmt: skip


@contextmanager
def throw_away_folder() -> Iterator[Path]:
    """Yield a data folder that PostgreSQL's own user can reach too; end and remove all in it."""
    folder = Path(tempfile.mkdtemp(prefix="billing-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        lock.end_leftovers(folder)
        host.remove_runtime_dir(folder)
        postgres.remove(folder)
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def eventually(what: str, holds: Callable[[], Any], *, seconds: float = 30) -> Any:
    """Wait until `holds()` returns something true, and return it; fail naming `what`."""
    deadline = time.monotonic() + seconds
    while True:
        if result := holds():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class StackProcess:
    """The supervisor as a child process, with its servers and whatever its Procfile names."""

    def __init__(
        self, data_dir: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.arguments = arguments
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in SET_BY_THE_STACK},
            "BILLING_DATA_DIR": str(data_dir),
            "RECEIVER_PORT": str(ports.find_free()),
            "API_PORT": str(ports.find_free()),
            "FLOWER_PORT": str(ports.find_free()),
            "SIMULATOR_PORT": str(ports.find_free()),
            "WEB_PORT": str(ports.find_free()),
            "SINK_PORT": str(ports.find_free()),
            "SINK_SMTP_PORT": str(ports.find_free()),
            **(environment or {}),
        }
        self.output_file = data_dir / "output.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.launch()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut_down()

    @property
    def output(self) -> str:
        """What the supervisor printed so far, errors included."""
        return self.output_file.read_text()

    @property
    def pid(self) -> int:
        """The pid of the supervisor."""
        assert self.process is not None
        return self.process.pid

    @property
    def addresses(self) -> dict[str, Any]:
        """The stack file, as `billing` reads it; empty while there is none."""
        try:
            loaded: dict[str, Any] = json.loads(settings.stack_file(self.data_dir).read_text())
        except (OSError, ValueError):
            return {}
        return loaded

    def launch(self, *, stdin: int | None = subprocess.DEVNULL) -> None:
        """Start the supervisor without waiting for anything."""
        with self.output_file.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "devstack", "run", *self.arguments],
                env=self.environment, stdin=stdin, stdout=output, stderr=output,
                cwd=settings.PROJECT_DIR, start_new_session=True,
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait until every process answers; fail with the output when the supervisor ends."""

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.output
            # A killed stack leaves its file behind: it must be this one's.
            addresses = self.addresses
            return bool(addresses.get("ready")) and addresses["supervisor_pid"] == self.pid

        eventually("the stack is ready", ready, seconds=START_SECONDS)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the supervisor to end by itself; return its exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def shut_down(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Ask for the ordered stop and wait for it; return the exit code."""
        self.send(signum)
        return self.wait()

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the supervisor, if it still runs."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(signum)

    def kill(self, pid: int, signum: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one process, SIGKILL by default."""
        os.kill(pid, signum)
        if self.process is not None and pid == self.process.pid:
            self.process.wait()

    def stop(self, name: str) -> None:
        """Stop one process of the stack in its own orderly way, and wait for it."""
        self._command("stop", name=name, waiting=True)

    def start(self, name: str) -> None:
        """Start one process of the stack that was stopped."""
        self._command("start", name=name, waiting=True)

    def pid_of(self, name: str) -> int | None:
        """Return the pid of one process of the stack; None while it does not run."""
        pids = self._command("list", name=name).get("pids", [])
        return pids[0] if pids and psutil.pid_exists(pids[0]) else None

    def running_pid_of(self, name: str, *, other_than: int | None = None) -> int:
        """Wait until one process of the stack runs, as another pid than before."""

        def pid() -> int | None:
            found = self.pid_of(name)
            return found if found != other_than else None

        found: int = eventually(f"{name} runs", pid)
        return found

    def marked_processes(self) -> list[psutil.Process]:
        """Return every process that belongs to this stack's folder, wherever it hangs now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(lock.MARKER) == str(self.data_dir):
                    found.append(process)
        return found

    def _command(self, command: str, **properties: Any) -> dict[str, Any]:
        # The supervisor does one thing at a time and refuses the second.
        def accepted() -> dict[str, Any] | None:
            client = CircusClient(endpoint=self.addresses["circus_endpoint"], timeout=30)
            try:
                answer: dict[str, Any] = client.send_message(command, **properties)
            finally:
                client.stop()
            if answer.get("status") == "error" and "already running" in answer["reason"]:
                return None
            assert answer.get("status") in ("ok", "active", None), answer
            return answer

        answer: dict[str, Any] = eventually(f"{command} {properties} is accepted", accepted)
        return answer
