"""`billing inbox`: the deliveries of senders and their state."""

import click

import clock
from billing import audit
from cli.options import json_option, limit_option, page
from cli.output import Record, print_record, print_records
from db import inbox_operations
from db.models import InboundEvent
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
@limit_option
@json_option
def list_(state: str | None, source: str | None, limit: int | None, *, as_json: bool) -> None:
    """List inbound events, newest first."""
    with transaction() as session:
        rows = inbox_operations.newest(
            session, state=state, source=source, limit=page(limit, as_json=as_json)
        )
        records = [_summary(row) for row in rows]
    print_records(records, as_json=as_json, empty="No events match.")


@inbox.command()
@click.argument("id_", metavar="ID", type=int)
@json_option
def show(id_: int, *, as_json: bool) -> None:
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
        }
    print_record(record, as_json=as_json)


@inbox.command()
@click.argument("ids", metavar="ID...", type=int, nargs=-1)
@click.option("--all-dead", is_flag=True, help="Replay every dead event.")
@json_option
def replay(ids: tuple[int, ...], *, all_dead: bool, as_json: bool) -> None:
    """Make dead events pending again.

    The next sweep hands them to a worker.
    """
    if bool(ids) == all_dead:
        raise click.UsageError("give the IDs of the events to replay, or --all-dead")
    with transaction() as session:
        chosen = inbox_operations.dead_ids(session) if all_dead else list(ids)
        possible = [id_ for id_ in chosen if 0 < id_ < 2**63]
        replayed = inbox_operations.replay(session, possible, now=clock.now())
        for id_ in replayed:
            audit.record(
                session,
                "inbox.replayed",
                f"inbox:{id_}",
                before={"state": "dead"},
                after={"state": "pending"},
            )
    left = sorted(set(chosen) - set(replayed))
    print_record({"replayed": replayed, "not_dead": left}, as_json=as_json)
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
