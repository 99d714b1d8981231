"""Runs the `billing` command as an operator would, in this process or as a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import settings
from billing import catalog
from cli.main import billing as command
from db import connections


@dataclass(frozen=True)
class Ran:
    """What a command printed and how it ended."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The printed document; the command must have succeeded."""
        assert self.exit_code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The message of a failed command, which must be one line on stderr."""
        assert self.exit_code == 1, (self.exit_code, self.out, self.err)
        assert self.err.startswith("Error: ")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("Error: ").rstrip("\n")


TERMINAL = {"TTY_COMPATIBLE": "1", "TERM": "dumb", "LINES": "50"}
"""What makes the output as it is on a terminal, without colours."""


def run_on_terminal(*arguments: str, width: int = 200) -> Ran:
    """Run `billing` in this process as if stdout were a terminal of `width` columns."""
    result = CliRunner().invoke(
        command, list(arguments), prog_name="billing", env={**TERMINAL, "COLUMNS": str(width)}
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def run(*arguments: str, environment: Mapping[str, str | None] | None = None) -> Ran:
    """Run `billing` in this process. What it does not turn into a message comes out here.

    A variable of `environment` that is None is not set for it.
    """
    if environment:
        _forget_settings()
    try:
        result = CliRunner().invoke(
            command, list(arguments), prog_name="billing", env=environment or {}
        )
    finally:
        if environment:
            if connections.engine.cache_info().currsize:
                connections.engine().dispose()
            _forget_settings()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def _forget_settings() -> None:
    settings.get.cache_clear()
    catalog.get.cache_clear()
    connections.engine.cache_clear()


def process(*arguments: str, environment: Mapping[str, str | None] | None = None) -> Ran:
    """Run the installed `billing` as a process; a variable that is None is not set for it."""
    chosen = {**os.environ, "PYTHONWARNINGS": "error", **(environment or {})}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("billing")), *arguments],
        env={name: value for name, value in chosen.items() if value is not None},
        cwd=settings.PROJECT_DIR, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


def open_clinic(ref: str = "clinic:42", *, name: str = "City Clinic", **options: str) -> Ran:
    """Open an account by the command; `overdraft_limit="50"` and the like as options."""
    more = [
        part
        for option, value in options.items()
        for part in (f"--{option.replace('_', '-')}", value)
    ]
    ran = run(
        "accounts", "create", ref, "--name", name, "--product", "clinic_leads", *more, "--json"
    )
    assert ran.exit_code == 0, ran.err
    return ran


def give(amount: str, ref: str = "clinic:42", *more: str) -> Ran:
    """Give credit by the command."""
    return run("credit", ref, amount, "--reason", "welcome", "--actor", "ops", *more)
