"""A shell on the shared stack, as a reader of the pages has one."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import settings
from tests.docs import commands
from tests.stack_process import StackProcess, eventually

COMMAND_SECONDS = 60
_TERMINAL = {"TTY_COMPATIBLE": "1", "TERM": "dumb", "COLUMNS": "98", "LINES": "50"}
"""The pages show what a person sees at a terminal, without colours."""
_END = "-- end of the command --"
_PORTS = {
    "8000": "RECEIVER_PORT", "8001": "API_PORT", "8002": "WEB_PORT", "5555": "FLOWER_PORT",
    "8009": "SIMULATOR_PORT", "8025": "SINK_PORT", "1025": "SINK_SMTP_PORT",
}  # fmt: skip
_READS = re.compile(
    r"billing (\S+ (show|list|checks|preview)|balance|history|forecast|audit-log)\b"
    r"|(curl|ask) (?!.* -[Xd] )",
    re.S,
)


class Shell:
    """One `sh` for a page: variables of one command are there for the next."""

    def __init__(self, stack: StackProcess, path: Path) -> None:
        self._stack = stack
        environment = {**stack.environment, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
        self._process = subprocess.Popen(
            ["sh"], env=environment, cwd=settings.PROJECT_DIR, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def run(self, command: str) -> str:
        """Run a command of a page; return what it prints, errors too, as the page would."""
        assert self._process.stdin
        assert self._process.stdout
        command = self._with_addresses(command)
        self._process.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n%s\\n' '{_END}'\n")
        self._process.stdin.flush()
        lines = []
        hangs = threading.Timer(COMMAND_SECONDS, self._process.kill)
        hangs.start()
        for line in self._process.stdout:
            if line.rstrip("\n") == _END:
                break
            lines.append(line)
        else:
            lines.append(f"no end within {COMMAND_SECONDS} s")
        hangs.cancel()
        return self._without_addresses("".join(lines)).strip("\n")

    def _with_addresses(self, command: str) -> str:
        for port, variable in _PORTS.items():
            real = self._stack.environment[variable]
            command = command.replace(f"127.0.0.1:{port}", f"127.0.0.1:{real}")
        return re.sub(r"(?<![\w/])\.data/", f"{self._stack.data_dir}/", command)

    def _without_addresses(self, output: str) -> str:
        for port, variable in _PORTS.items():
            output = output.replace(
                f"127.0.0.1:{self._stack.environment[variable]}", f"127.0.0.1:{port}"
            )
        return output.replace(str(self._stack.data_dir), ".data")


def only_reads(command: str) -> bool:
    """Return whether a command may be asked again until workers have done their part."""
    return bool(_READS.match(command))


@contextmanager
def commands_of(stack: StackProcess) -> Iterator[Path]:
    """Yield a folder with `billing` and `curl` for this stack, and `python` of the tests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        address = folder / "calls"
        commands.install(folder, address)
        python = folder / "python"
        # By its own path: a link to it elsewhere would be the interpreter without its environment.
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.commands", str(address)],
            env={**stack.environment, **_TERMINAL}, cwd=settings.PROJECT_DIR,
        )  # fmt: skip
        try:
            eventually("the commands can be called", address.exists)
            yield folder
        finally:
            server.terminate()
            server.wait(10)


def settle(seconds: float = 2) -> None:
    """Let the workers do what a command has begun."""
    time.sleep(seconds)
