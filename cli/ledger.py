"""`billing ledger verify`."""

import sys

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from billing import verify as proof
from cli.output import json_option, print_json, print_records
from db.session import snapshot


@click.group()
def ledger() -> None:
    """Prove that the books are right."""


@ledger.command()
@json_option
def verify(*, as_json: bool) -> None:
    """Check every invariant of the ledger; exit 1 and the breaches where one fails."""
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
        task = progress.add_task("rows", total=proof.count_transactions(session))
        report = proof.verify(session, lambda rows: progress.update(task, completed=rows))
    breaches = [
        {"invariant": b.invariant, "account": b.account, "detail": b.detail}
        for b in report.breaches
    ]
    if as_json:
        print_json(
            {
                "ok": not breaches,
                "accounts": report.accounts,
                "transactions": report.transactions,
                "breaches": breaches,
            }
        )
    elif breaches:
        print_records(breaches, as_json=False, empty="")
    else:
        click.echo(
            f"The ledger is clean: {report.transactions:,} rows on {report.accounts:,} accounts."
        )
    if breaches:
        sys.exit(1)
