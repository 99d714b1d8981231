"""A worker as it runs in production: the Procfile's command, on the tests' servers."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

import settings
from devstack import procfile
from tests.stack_process import eventually

START_SECONDS = 40
STOP_SECONDS = 30


class WorkerProcess:
    """One worker, by default with one child; `app` may be a module with more tasks in it.

    `name` is that of its line in the Procfile.
    """

    def __init__(
        self,
        log_file: Path,
        *,
        app: str = "worker.app",
        name: str = "worker",
        **environment: str,
    ) -> None:
        self.log_file = log_file
        self._app = app
        self._name = name
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = procfile.read(settings.PROJECT_DIR / "Procfile")[self._name]
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "WORKER_PROCESSES": "1",
            "NOTICE_PROCESSES": "1",
            "LOG_FORMAT": "json",
            **self._environment,
        }
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command.replace('worker.app', self._app)}"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=settings.PROJECT_DIR, start_new_session=True,
            )  # fmt: skip
        eventually("the worker is ready", self._is_ready, seconds=START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.kill()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The main process, which must have been started."""
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        """What it wrote so far, to stdout and stderr."""
        return self.log_file.read_text(errors="replace")

    def has_logged(self, text: str) -> bool:
        """Tell whether it wrote `text` so far."""
        return text in self.log

    def stop_for_a_while(self) -> None:
        """Freeze the main process, wherever it is."""
        self.process.send_signal(signal.SIGSTOP)
        eventually("it is stopped", lambda: psutil.Process(self.process.pid).status() == "stopped")

    def children(self) -> list[psutil.Process]:
        """The processes that run tasks."""
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """Kill the main process and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log
        return " ready." in self.log
