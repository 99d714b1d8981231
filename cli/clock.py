"""`billing clock`: moves time forward, in development only."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

import settings
from billing.reports import activity
from cli.options import View, record_options
from cli.output import (
    Columns,
    plain,
    print_json,
    print_record,
    print_records,
    print_sections,
)
from cli.times import LOCAL_INSTANT, SPAN
from clock import development as development_clock
from clock.development import Reading
from db.session import transaction

PATIENCE_SECONDS = 30
"""How long the workers may take after a step to handle what is due."""
END_PATIENCE_SECONDS = 60
LINES_A_STEP = 50


@click.group()
def clock() -> None:
    """Move time forward, in development.

    Works only on the stack of `make run` with its own PostgreSQL. Time moves for every process of
    the stack at once and stays moved after a restart. It never goes back.

    \b
    Examples:
      billing clock advance 30d
      billing clock to 2027-03-01
      billing clock watch --days 365 --seconds 60 --account pharmacy:demo-1
    """


@clock.command()
@record_options
def show(*, view: View) -> None:
    """Show the time of the stack and the real time."""
    _print(development_clock.read(), view)


@clock.command()
@click.argument("by", type=SPAN)
@record_options
def advance(by: timedelta, *, view: View) -> None:
    """Move time forward BY 30d, 12h, 90m, 1w or 1d12h."""
    _print(development_clock.advance(by), view)


@clock.command()
@click.argument("moment", type=LOCAL_INSTANT)
@record_options
def to(moment: datetime, *, view: View) -> None:
    """Move time forward to MOMENT, such as 2027-03-01.

    Also 2027-03-01T09:30 or 2027-03-01T09:30+05:30. Without an offset, MOMENT is in the zone of
    BILLING_TIMEZONE.
    """
    _print(development_clock.move_to(moment), view)


@clock.command()
@click.option(
    "--days",
    type=click.IntRange(1, 3_660),
    default=365,
    show_default=True,
    help="How many days pass.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1, 3_600),
    default=60,
    show_default=True,
    help="How long it takes; busy workers may need longer.",
)
@click.option("--account", "ref", help="Only what happens on this account.")
@record_options
def watch(days: int, seconds: int, ref: str | None, *, view: View) -> None:
    """Let days pass and watch what happens.

    After each step of at most a day, the workers handle what is due. Printed are new rows of the
    outbox, grants and expired credit, and at the end the totals.
    """
    before = development_clock.read()
    with transaction() as session:
        watched = activity.start_watch(session, account=ref)
    with _progress(as_json=view.as_json) as progress:
        for _ in progress.track(_steps(days, seconds), total=_number_of_steps(days, seconds)):
            if not view.as_json:
                _print_activity(progress.console, watched)
        _wait_for_workers(END_PATIENCE_SECONDS, quiet_seconds=0.5)
        if not view.as_json:
            _print_activity(progress.console, watched)
    with transaction() as session:
        _print_totals(before, activity.totals(session, watched), view)


def _steps(days: int, seconds: int) -> Iterator[Reading]:
    """Move time step by step, let the workers finish after each, and keep to the given pace."""
    # Imported only when needed: Celery takes longer to load than most commands to run.
    from tasks.plumbing import broker, ticks  # noqa: PLC0415

    number = _number_of_steps(days, seconds)
    started = time.monotonic()
    try:
        for step in range(1, number + 1):
            now = development_clock.advance(timedelta(days=days) / number)
            ticks.send_all()
            _wait_for_workers(PATIENCE_SECONDS, quiet_seconds=0.01)
            yield now
            time.sleep(max(0, started + seconds * step / number - time.monotonic()))
    except broker.UNREACHABLE as error:
        raise click.ClickException(
            f"Redis cannot be reached ({type(error).__name__}): start the stack with `make run`."
            " Time has moved this far: `billing clock show`"
        ) from error


def _number_of_steps(days: int, seconds: int) -> int:
    return development_clock.steps_of(timedelta(days=days), seconds=seconds)


def _wait_for_workers(seconds: float, *, quiet_seconds: float) -> None:
    from tasks.plumbing import ticks  # noqa: PLC0415

    if not ticks.wait_until_done(seconds=seconds, quiet_seconds=quiet_seconds):
        raise click.ClickException(
            f"the workers are not done after {seconds} s: check that the worker runs and is not"
            " busy with other work. Time has moved this far: `billing clock show`"
        )


def _print_activity(console: Console, watched: activity.Watch) -> None:
    with transaction() as session:
        found = activity.read_new(session, watched, limit=LINES_A_STEP)
        if len(found) >= LINES_A_STEP:
            activity.skip_to_end(session, watched)
    for happening in found:
        details = "  ".join(f"{name}={value}" for name, value in happening.details.items())
        line = f"{_day(happening.at)}  {happening.what:<24} {happening.subject}  {details}"
        # Text, not str: rich would interpret [tags] and :emoji: in it.
        console.print(Text(plain(line)), soft_wrap=True)
    if len(found) >= LINES_A_STEP:
        console.print("... there may be more; the totals at the end count them", highlight=False)


def _day(moment: datetime) -> str:
    local = moment.astimezone(settings.get().zone)
    return local.isoformat(" ", "minutes")[:16]


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Progress]:
    """Show the progress on a terminal; printed lines appear above it."""
    console = Console()
    columns = (TextColumn("time passes"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    hidden = as_json or not sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        yield progress


def _print_totals(before: Reading, totals: activity.Totals, view: View) -> None:
    now = development_clock.read()
    if view.as_json:
        record: dict[str, Any] = {
            "from": before.time,
            "to": now.time,
            "topics": totals.topics,
            "credits_granted": totals.credits_granted,
            "credits_expired": totals.credits_expired,
        }
        print_json(record)
        return
    counted = [{"topic": topic, "times": times} for topic, times in totals.topics.items()]
    summary = {
        "from": before.time,
        "to": now.time,
        "credits_granted": totals.credits_granted,
        "credits_expired": totals.credits_expired,
    }
    columns, empty = Columns("topic times"), "No notices in the outbox."
    print_sections(
        [
            ("", partial(print_records, counted, view, columns=columns, empty=empty)),
            ("", partial(print_record, summary, view)),
        ]
    )


def _print(reading: Reading, view: View) -> None:
    print_record(
        {
            "time": reading.time,
            "real_time": reading.real_time,
            "offset_seconds": round(reading.ahead.total_seconds(), 6),
            "ahead": str(timedelta(seconds=round(reading.ahead.total_seconds()))),
            "file": str(reading.file),
        },
        view,
    )
