"""`billing ledger`: verify it, take an anchor, list the daily checks."""

import os
import sys
from typing import IO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.orm import Session

import clock
from billing import verification
from billing.verification import anchor_file, anchors, daily_check
from cli.options import ListView, View, json_option, timed_list_options
from cli.output import Columns, Record, print_json, print_list, print_records
from db.models import LedgerCheck
from db.pages import Page, Wanted
from db.session import snapshot


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@click.group()
def ledger() -> None:
    """Prove that the ledger is right.

    \b
    Examples:
      billing ledger verify
      billing ledger anchor > anchor.txt
      billing ledger verify --against anchor.txt
    """


@ledger.command()
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=_cores,
    show_default="one for each core",
    help="How many processes check in parallel.",
)
@click.option(
    "--against",
    type=click.File("rb"),
    help="An anchor that was kept elsewhere; - reads stdin.",
)
@json_option
def verify(*, jobs: int, against: IO[bytes] | None, as_json: bool) -> None:
    """Check every invariant of the ledger.

    Prints the breaches and exits with 1 if there are any. Everything is checked as of one moment,
    while other processes go on writing. With --against it also checks that no history was
    rewritten since the anchor was taken.
    """
    anchor = anchor_file.Reader(against) if against else None
    progress = Progress(
        TextColumn("verifying"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=as_json or not sys.stderr.isatty(),
    )
    with snapshot() as session, progress:
        task = progress.add_task("rows", total=None)
        report = verification.verify(
            session,
            jobs=jobs,
            against=anchor,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _print(report, anchor, as_json=as_json)
    if anchor and not anchor.total.transactions:
        click.echo(
            f"WARNING: the anchor of {anchor.taken_at} has no ledger rows:"
            f" it proves nothing about the {report.transactions:,} rows of the ledger.",
            err=True,
        )
    if report.breaches:
        sys.exit(1)


@ledger.command()
@json_option
def anchor(*, as_json: bool) -> None:
    """Print an anchor of the ledger.

    It holds each account's number of rows and newest hash, and one digest of them all. Keep it
    out of reach of everybody who can write to the database: then `billing ledger verify
    --against FILE` finds even a history that was rewritten with all its hashes.
    """
    form = anchor_file.as_json if as_json else anchor_file.as_text
    with snapshot() as session:
        sys.stdout.writelines(form(anchors.take(session), taken_at=clock.now()))


@ledger.command()
@timed_list_options
def checks(*, view: ListView) -> None:
    """List the daily checks of the ledger, newest first.

    A check without `finished_at` was stopped with its process; the next one runs within the hour.
    """

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return daily_check.newest(session, wanted).map(_check)

    print_list(read, view, columns=_COLUMNS, empty="No checks yet: see that beat runs.")


_COLUMNS = Columns("id started_at finished_at breaches", more="accounts transactions")


def _check(check: LedgerCheck) -> Record:
    return {
        "id": check.id,
        "started_at": check.started_at,
        "finished_at": check.finished_at,
        "accounts": check.accounts,
        "transactions": check.transactions,
        "breaches": check.breaches,
    }


def _print(
    report: verification.Report, anchor: anchor_file.Reader | None, *, as_json: bool
) -> None:
    breaches: list[Record] = [
        {"invariant": b.invariant, "account": b.account, "detail": b.detail}
        for b in report.breaches
    ]
    if as_json:
        document = {
            "ok": not breaches,
            "accounts": report.accounts,
            "transactions": report.transactions,
            "breaches": breaches,
            "more_breaches": report.more_breaches,
        }
        if anchor:
            document["anchor"] = {
                "taken_at": anchor.taken_at,
                "sha256": anchor.total.sha256,
                "accounts": anchor.total.accounts,
                "transactions": anchor.total.transactions,
            }
        print_json(document)
    elif breaches:
        print_records(breaches, View(), columns=Columns("invariant account detail"), empty="")
        if report.more_breaches:
            click.echo(f"... and {report.more_breaches:,} more.")
    else:
        click.echo(
            f"The ledger is clean: {report.transactions:,} rows on {report.accounts:,} accounts."
        )
        if anchor and anchor.total.accounts:
            click.echo(
                f"It matches the anchor of {anchor.taken_at} with"
                f" {anchor.total.accounts:,} accounts, sha256 {anchor.total.sha256}."
            )
