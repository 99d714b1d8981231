"""`python -m benchmarks [NAME] ...`, called by `make bench`; `--help` lists the names."""

import json
import platform
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, Protocol

import click
import psutil
from rich.console import Console

import settings
from benchmarks import (
    api_holds,
    backlog,
    calls,
    cost,
    drain,
    grants,
    holds,
    lab,
    latency,
    ledger,
    memory,
    notices,
    payments,
    razorpay,
    receiver,
    request_log,
    require_credits,
    verify,
)
from benchmarks.report import Report, WrongOutcome, show
from devstack.errors import DevstackError


class _Measurement(Protocol):
    DEFAULT_EVENTS: int

    @property
    def measure(self) -> Callable[..., Report]: ...


MEASUREMENTS: dict[str, _Measurement] = {
    "ledger": ledger,
    "cost": cost,
    "holds": holds,
    "api_holds": api_holds,
    "grants": grants,
    "verify": verify,
    "drain": drain,
    "calls": calls,
    "backlog": backlog,
    "receiver": receiver,
    "razorpay": razorpay,
    "latency": latency,
    "payments": payments,
    "notices": notices,
    "require_credits": require_credits,
    "request_log": request_log,
    "memory": memory,
}

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PIPED_WIDTH = 110


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(MEASUREMENTS)))
@click.option("--events", type=click.IntRange(min=1_000), help="Events of each measurement.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--use-configured-database",
    is_flag=True,
    help="Measure on DATABASE_URL and REDIS_URL; thousands of rows stay behind.",
)
def main(
    names: tuple[str, ...], events: int | None, *, as_json: bool, use_configured_database: bool
) -> None:
    """Measure speed and memory; without a name everything, in some minutes."""
    for signum in _STOPS:
        signal.signal(signum, _interrupt)
    progress = Console(highlight=False, stderr=True)
    chosen = [name for name in MEASUREMENTS if name in names or not names]
    try:
        _run(chosen, events, progress, as_json=as_json, use_configured=use_configured_database)
    except (DevstackError, settings.SettingsError, WrongOutcome) as error:
        progress.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        progress.print("interrupted; everything is stopped")
        sys.exit(130)


def _run(
    chosen: list[str], events: int | None, progress: Console, *, as_json: bool, use_configured: bool
) -> None:
    out = Console(highlight=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=_PIPED_WIDTH)
    reports: dict[str, Report] = {}
    with (
        progress.status("Starting the servers ...") as status,
        lab.opened(use_configured=use_configured) as here,
    ):
        machine = _machine()
        if not as_json:
            out.print(f"{machine}. Compare figures of one run only.\n")
        for name in chosen:
            status.update(f"Measuring: {name} ...")
            started = time.monotonic()
            measurement = MEASUREMENTS[name]
            report = measurement.measure(here, events=events or measurement.DEFAULT_EVENTS)
            reports[name] = report
            progress.print(f"{name}: measured in {time.monotonic() - started:.0f} s", style="dim")
            if not as_json:
                show(report, out)
    if as_json:
        document = {name: report.as_data() for name, report in reports.items()}
        click.echo(json.dumps({"machine": machine, **document}, indent=2))


def _machine() -> str:
    return (
        f"{psutil.cpu_count()} cores, Python {platform.python_version()}, {lab.database_version()}"
    )


def _interrupt(_signum: int, _frame: FrameType | None) -> NoReturn:
    for signum in _STOPS:
        signal.signal(signum, signal.SIG_IGN)  # a second one must not cut the clean-up short
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
