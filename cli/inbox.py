"""`billing inbox`: the deliveries of senders and their state."""

import click
from sqlalchemy.orm import Session

import clock
from billing import audit, leads
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


_COLUMNS = Columns(
    "id source type state received_at",
    more="event_id outcome attempts handled_at last_error lead_id account request_id",
)


@inbox.command(name="list")
@click.option(
    "--state", type=click.Choice(["pending", "done", "dead", "ignored"]), help="Only this state."
)
@click.option("--source", help="Only this source, such as leads.")
@click.option("--event-id", help="Only the sender's event of this id.")
@click.option("--lead", "lead_id", metavar="ID", help="Only what is about this lead.")
@click.option("--account", "ref", metavar="REF", help="Only what is about this account.")
@timed_list_options
def list_(
    state: str | None,
    source: str | None,
    event_id: str | None,
    lead_id: str | None,
    ref: str | None,
    *,
    view: ListView,
) -> None:
    """List inbound events, newest first."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return inbox_operations.newest(
            session,
            wanted,
            state=state,
            source=source,
            event_id=event_id,
            lead=_sought(lead_id),
            account=_sought(ref),
        ).map(_summary)

    print_list(read, view, columns=_COLUMNS, empty="No events match.")


@inbox.command()
@click.argument("name", metavar="ID")
@record_options
def show(name: str, *, view: View) -> None:
    """Show event ID with its body.

    ID is the number of the event, or the sender's id of it.
    """
    with transaction() as session:
        found = inbox_operations.find(session, name)
        if not found:
            raise PermanentError(f"there is no inbound event {name}: see `billing inbox list`")
        if len(found) > 1:
            ids = ", ".join(str(row.id) for row in found)
            raise PermanentError(f"several events have the id {name}: show one of {ids}")
        [row] = found
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


def _sought(value: str | None) -> inbox_operations.Sought | None:
    if value is None:
        return None
    return inbox_operations.Sought(value, leads.status.spellings_of(value))


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
        "lead_id": row.lead_id,
        "account": row.account_ref,
        "request_id": row.request_id,
    }
