"""`billing ledger verify` and `billing ledger anchor`."""

import os
import sys
from typing import IO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import clock
from billing import verification
from billing.verification import anchor_file, anchors
from billing.verification import daily_check as ledger_checks
from cli.output import Record, json_option, limit_option, page, print_json, print_records
from db.session import snapshot, transaction


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@click.group()
def ledger() -> None:
    """Prove that the books are right."""


@ledger.command()
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=_cores,
    show_default="one for each core",
    help="How many processes check at once.",
)
@click.option(
    "--against",
    type=click.File("rb"),
    help="An anchor that was kept elsewhere; - reads it from stdin.",
)
@json_option
def verify(*, jobs: int, against: IO[bytes] | None, as_json: bool) -> None:
    """Check every invariant of the ledger; exit 1 and the breaches where one fails.

    Everything is checked as it was at one moment, while others go on writing. Against an anchor
    it is checked too that no history was rewritten since the anchor was taken.
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
            f"WARNING: the anchor of {anchor.taken_at} holds no ledger row."
            f" It vouches for nothing of the {report.transactions:,} rows on record.",
            err=True,
        )
    if report.breaches:
        sys.exit(1)


@ledger.command()
@json_option
def anchor(*, as_json: bool) -> None:
    """Print an anchor: each account's number of rows and newest hash, and one digest of all.

    Keep it where nobody who can write to the database can write; `billing ledger verify
    --against FILE` then finds even a history that was rewritten with all its hashes.
    """
    form = anchor_file.as_json if as_json else anchor_file.as_text
    with snapshot() as session:
        sys.stdout.writelines(form(anchors.take(session), taken_at=clock.now()))


@ledger.command()
@limit_option
@json_option
def checks(limit: int | None, *, as_json: bool) -> None:
    """List the verifications that beat has done, once a day, newest first.

    One that has no end was stopped with its process; the next is done within the hour.
    """
    with transaction() as session:
        records: list[Record] = [
            {
                "id": check.id,
                "started_at": check.started_at,
                "finished_at": check.finished_at,
                "accounts": check.accounts,
                "transactions": check.transactions,
                "breaches": check.breaches,
            }
            for check in ledger_checks.newest(session, limit=page(limit, as_json=as_json))
        ]
    print_records(records, as_json=as_json, empty="None yet: is beat running?")


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
        print_records(breaches, as_json=False, empty="")
        if report.more_breaches:
            click.echo(f"... and {report.more_breaches:,} more.")
    else:
        click.echo(
            f"The ledger is clean: {report.transactions:,} rows on {report.accounts:,} accounts."
        )
        if anchor and anchor.total.accounts:
            click.echo(
                f"It still carries the anchor of {anchor.taken_at} with"
                f" {anchor.total.accounts:,} accounts, sha256 {anchor.total.sha256}."
            )
