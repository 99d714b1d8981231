"""`billing inbox`: the deliveries of senders and their state."""

import click
from sqlalchemy.orm import Session

import clock
from billing import audit
from cli.options import (
    ListView,
    View,
    actor_of_the_log_option,
    record_options,
    timed_list_options,
)
from cli.output import Columns, Record, print_list, print_record
from db import inbox_operations
from db.models import InboundEvent
from db.pages import Page, Wanted
from db.session import transaction
from errors import PermanentError


@click.group()
def inbox() -> None:
    """List and show inbound events; replay dead ones.

    \b
    Examples:
      billing inbox list --state dead
      billing inbox replay 17
    """


@inbox.command(name="list")
@click.option(
    "--state", type=click.Choice(["pending", "done", "dead", "ignored"]), help="Only this state."
)
@click.option("--source", help="Only this source, such as leads.")
@timed_list_options
def list_(state: str | None, source: str | None, *, view: ListView) -> None:
    """List inbound events, newest first."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return inbox_operations.newest(session, wanted, state=state, source=source).map(_summary)

    print_list(read, view, columns=_COLUMNS, empty="No events match.")


_COLUMNS = Columns(
    "id source type state received_at", more="event_id outcome attempts handled_at last_error"
)


@inbox.command()
@click.argument("id_", metavar="ID", type=int)
@record_options
def show(id_: int, *, view: View) -> None:
    """Show event ID with its body."""
    with transaction() as session:
        row = session.get(InboundEvent, id_)
        if row is None:
            raise PermanentError(f"there is no inbound event {id_}: see `billing inbox list`")
        record = {
            **_summary(row),
            "next_attempt_at": row.next_attempt_at,
            "leased_until": row.leased_until,
            "body_sha256": row.body_sha256.hex(),
            "body": row.body.decode("utf-8", "backslashreplace"),
            "blanked_at": row.blanked_at,
        }
    print_record(record, view)


@inbox.command()
@click.argument("ids", metavar="ID...", type=int, nargs=-1)
@click.option("--all-dead", is_flag=True, help="Replay every dead event.")
@actor_of_the_log_option
@record_options
def replay(ids: tuple[int, ...], *, all_dead: bool, view: View) -> None:
    """Make dead events pending again.

    The next sweep hands them to a worker.
    """
    if bool(ids) == all_dead:
        raise click.UsageError("give the IDs of the events to replay, or --all-dead")
    with transaction() as session:
        chosen = inbox_operations.dead_ids(session) if all_dead else list(ids)
        possible = [id_ for id_ in chosen if 0 < id_ < 2**63]
        replayed = inbox_operations.replay(session, possible, now=clock.now())
        blanked = inbox_operations.blanked_ids(session, possible)
        for id_ in replayed:
            audit.record(
                session,
                "inbox.replayed",
                f"inbox:{id_}",
                before={"state": "dead"},
                after={"state": "pending"},
            )
    left = sorted(set(chosen) - set(replayed))
    print_record({"replayed": replayed, "not_dead": left}, view)
    if blanked:
        raise PermanentError(
            f"the content of {blanked} was blanked (blanked_at of `billing inbox show`): they can"
            " not be replayed; ask the sender, or the gateway, for what is missing"
        )
    if left:
        raise PermanentError(f"only dead events can be replayed: these are not dead: {left}")


def _summary(row: InboundEvent) -> Record:
    return {
        "id": row.id,
        "source": row.source,
        "event_id": row.event_id,
        "type": row.type,
        "state": row.state,
        "outcome": row.outcome,
        "attempts": row.attempts,
        "received_at": row.received_at,
        "handled_at": row.handled_at,
        "last_error": row.last_error,
    }
