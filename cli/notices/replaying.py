"""`billing notices replay`: sends again what was missed; one notice, by filter, or since a time."""

import sys
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

import clock
from billing import topics as catalogue
from billing.notices import Missed
from billing.notices import replay as make_again
from cli.notices import nudge
from cli.notices.options import ENDPOINT, NOTICE_ID
from cli.options import View, actor_of_the_log_option, confirm, record_options, yes_option
from cli.output import print_record, zone_of
from cli.times import WHEN, When
from db.session import transaction

BATCH_SIZE = 500


@click.command()
@click.argument("notice_id", metavar="[ID]", type=NOTICE_ID, required=False)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["dead", "skipped", "done"]),
    help="Deliveries in this state; by default dead and skipped, which is all that was missed.",
)
@click.option("--endpoint", "endpoint_id", metavar="ID", type=ENDPOINT, help="Only to this one.")
@click.option(
    "--type", "types", metavar="TOPIC", multiple=True,
    help="Only this topic, or `balance.*`; may be repeated.",
)  # fmt: skip
@click.option("--account", "ref", metavar="REF", help="Only what is about this account.")
@click.option("--since", type=WHEN, help="Only what happened from this time on, such as 2d.")
@click.option("--until", type=WHEN, help="Only what happened before this time.")
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@actor_of_the_log_option
@yes_option
@record_options
def replay(
    notice_id: int | None,
    states: tuple[Any, ...],
    endpoint_id: int | None,
    types: tuple[str, ...],
    ref: str | None,
    since: When | None,
    until: When | None,
    *,
    dry_run: bool,
    yes: bool,
    view: View,
) -> None:
    """Send notices again: notice ID, or those that the options name.

    Under the same id and with the same bytes, so that a receiver that has one already drops it.
    Says how many it is and asks before it does so. What an endpoint that is off would get is left
    out: enable it first.

    \b
    Examples:
      billing notices replay ntc_42 --endpoint 3
      billing notices replay --endpoint 3 --since 2026-11-30T10:00
      billing notices replay --state dead --type 'payment.*' --dry-run
    """
    filters = (states, endpoint_id, types, ref, since, until)
    if notice_id is None and not any(filters):
        raise click.UsageError("say what to replay: a notice's ID, --endpoint, --state or --since")
    if notice_id is not None and any((states, types, ref, since, until)):
        raise click.UsageError("a notice's ID goes with --endpoint alone")
    catalogue.check_patterns(types)
    missed = None
    if notice_id is None:
        zone = zone_of(ref)
        missed = Missed(
            states=states or ("dead", "skipped"),
            since=since.at(zone) if since else None,
            until=until.at(zone) if until else None,
            topics=types,
            account=ref,
            finished_before=clock.now(),
        )
    with transaction() as session:
        number = make_again(
            session, notice_id=notice_id, missed=missed, endpoint_id=endpoint_id, dry_run=True
        )
    replayed = 0
    if number and not dry_run:
        confirm(f"Send {_deliveries(number)} again?", yes=yes)
        replayed = _replay(notice_id, missed, endpoint_id, number)
        nudge.send_notices()
    elif not number:
        click.echo("Nothing to replay.", err=True)
    print_record({"deliveries": number, "replayed": replayed}, view)


def _deliveries(number: int) -> str:
    return "1 delivery" if number == 1 else f"{number:,} deliveries"


def _replay(
    notice_id: int | None, missed: Missed | None, endpoint_id: int | None, number: int
) -> int:
    """Replay in portions, each in a transaction of its own; return how many."""
    done = 0
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn())
    hidden = not sys.stdout.isatty()
    with Progress(*columns, console=Console(), transient=True, disable=hidden) as progress:
        bar = progress.add_task("replaying", total=number)
        while True:
            with transaction() as session:
                some = make_again(
                    session,
                    notice_id=notice_id,
                    missed=missed,
                    endpoint_id=endpoint_id,
                    dry_run=False,
                    limit=BATCH_SIZE,
                )
            done += some
            progress.update(bar, completed=done)
            if notice_id is not None or some < BATCH_SIZE:
                return done
