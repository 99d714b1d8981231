"""`billing grants`: the monthly credit that is due, granted now instead of by the tick."""

import logging
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import partial

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from billing.plans import grants as rules
from billing.plans import month_name, parse_month
from billing.plans.grants import GrantChunk
from cli.options import View, confirm, record_options, yes_option
from cli.output import (
    Columns,
    Record,
    print_json,
    print_record,
    print_records,
    print_sections,
)
from db.errors import DatabaseBusy
from db.session import snapshot, transaction
from tasks.plans import grant_chunks

PAUSE_SECONDS = 0.2
PATIENCE_SECONDS = 30
"""How long the run waits for accounts that other processes work on, if none of them is done."""


class _Month(click.ParamType[date]):
    name = "YYYY-MM"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        try:
            return value if isinstance(value, date) else parse_month(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def grants() -> None:
    """Grant the monthly credit of plans.

    \b
    Example:
      billing grants run --dry-run
    """


@grants.command()
@click.option("--month", type=_Month(), help="Grant up to this month; by default everything due.")
@click.option("--dry-run", is_flag=True, help="Show what is due and change nothing.")
@click.option("--alone", is_flag=True, help="Do not ask the workers to take part.")
@yes_option
@record_options
def run(*, month: date | None, dry_run: bool, alone: bool, yes: bool, view: View) -> None:
    """Grant every month that has begun and is not granted yet.

    The workers do so by themselves, within a minute after a month begins in an account's zone.
    This command asks them to help; without them it grants everything itself. It may be stopped
    (Ctrl-C) or killed at any moment: what is committed stays, and the next run continues. A month
    that has not begun in an account's zone is not due there, whatever --month says.
    """
    if dry_run:
        _preview(month, view)
        return
    confirm(lambda: f"Grant what is due to {_count(month):,} accounts?", yes=yes)
    with _progress(as_json=view.as_json) as progress:
        done = _run(month, progress, alone=alone)
    _print(done, view)
    if done.put_off:
        account, problem = next(iter(done.put_off.items()))
        raise click.ClickException(
            f"cannot compute the grants of {len(done.put_off):,} accounts, which are put off;"
            f" the first is {account}: {problem}"
        )
    if done.left:
        raise click.ClickException(
            f"{done.left:,} accounts are locked by other processes: run the command again later"
        )


class _Done:
    """The result of a run."""

    def __init__(self) -> None:
        self.granted: Counter[str] = Counter()
        self.withheld: Counter[str] = Counter()
        self.put_off: dict[str, str] = {}
        self.credits = self.accounts = self.elsewhere = self.left = 0
        self.seconds = 0.0

    def add(self, chunk: GrantChunk) -> None:
        self.granted += chunk.granted
        self.withheld += chunk.withheld
        self.put_off |= chunk.put_off
        self.credits += chunk.credits
        self.accounts += chunk.accounts


def _run(month: date | None, progress: Progress, *, alone: bool) -> _Done:
    started = time.monotonic()
    done = _Done()
    total = _count(month)
    bar = progress.add_task("accounts", total=total)
    if total and not alone:
        _call_workers(month)
    left, quiet_since = total, time.monotonic()
    while left and time.monotonic() - quiet_since < PATIENCE_SECONDS:
        worked = 0
        for chunk in _chunks(month):
            done.add(chunk)
            worked += chunk.accounts
            progress.update(bar, completed=max(done.accounts, total - left))
        before, left = left, _count(month)
        progress.update(bar, completed=total - left)
        if worked or left < before:
            quiet_since = time.monotonic()
        elif left:
            time.sleep(PAUSE_SECONDS)  # another process works on what is left
    done.left = left
    done.elsewhere = max(0, total - left - done.accounts)
    done.seconds = time.monotonic() - started
    return done


def _call_workers(month: date | None) -> None:
    # Imported only when needed: Celery takes longer to load than most commands to run.
    from tasks.plans import grants as task  # noqa: PLC0415

    # Without a broker no worker helps. That is not worth a message: all is done here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    task.call_worker(month_name(month) if month else None)


def _chunks(month: date | None) -> Iterator[GrantChunk]:
    try:
        yield from grant_chunks.chunks(through=month, stop_at=math.inf)
    except DatabaseBusy:
        return  # the caller counts what is left and goes on


def _count(month: date | None) -> int:
    with transaction() as session:
        return rules.count_due(session, through=month)


def _preview(month: date | None, view: View) -> None:
    granted: Counter[str] = Counter()
    withheld: Counter[str] = Counter()
    credits_: Counter[str] = Counter()
    with snapshot() as session, _progress(as_json=view.as_json) as progress:
        bar = progress.add_task("accounts", total=rules.count_due(session, through=month))
        for due, brings in rules.preview(session, through=month):
            name = month_name(due.month)
            (withheld if due.withheld else granted)[name] += 1
            credits_[name] += brings
            progress.advance(bar)
    records: list[Record] = [
        {
            "month": name,
            "would_grant": granted[name],
            "would_withhold": withheld[name],
            "credits": credits_[name],
        }
        for name in sorted({*granted, *withheld})
    ]
    columns = Columns("month would_grant would_withhold credits")
    print_records(records, view, columns=columns, empty="No month is due for any account.")


def _print(done: _Done, view: View) -> None:
    months: list[Record] = [
        {"month": name, "granted": done.granted[name], "withheld": done.withheld[name]}
        for name in sorted({*done.granted, *done.withheld})
    ]
    total: Record = {
        "granted": done.granted.total(),
        "credits": done.credits,
        "withheld": done.withheld.total(),
        "accounts": done.accounts,
        "accounts_by_workers": done.elsewhere,
        "accounts_left": done.left,
        "accounts_put_off": len(done.put_off),
        "seconds": round(done.seconds, 1),
    }
    if view.as_json:
        print_json({**total, "months": months})
        return
    columns = Columns("month granted withheld")
    print_sections(
        [
            ("", partial(print_records, months, view, columns=columns, empty="Nothing to grant.")),
            ("", partial(print_record, total, view)),
        ]
    )


def _progress(*, as_json: bool) -> Progress:
    return Progress(
        TextColumn("granting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=as_json or not sys.stderr.isatty(),
    )
