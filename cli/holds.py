"""`billing holds`: credit that is set aside."""

import click
from sqlalchemy import select

from billing.credit import holds as rules
from cli.accounts import find_or_fail
from cli.options import actor_option, json_option, limit_option, page
from cli.output import print_record, print_records
from db.models import Account, Hold, HoldEvent
from db.session import transaction


@click.group()
def holds() -> None:
    """Credit set aside for charges that are not certain yet.

    \b
    Example:
      billing holds list --state open --account clinic:42
    """


@holds.command(name="list")
@click.option(
    "--state", type=click.Choice(["open", "captured", "voided", "expired"]), help="Only this state."
)
@click.option("--account", "ref", help="Only holds of this account.")
@limit_option
@json_option
def list_(state: str | None, ref: str | None, limit: int | None, *, as_json: bool) -> None:
    """List holds, newest first."""
    query = (
        select(Hold, Account.ref)
        .join(Account, Account.id == Hold.account_id)
        .order_by(Hold.id.desc())
        .limit(page(limit, as_json=as_json))
    )
    if state is not None:
        query = query.where(Hold.state == state)
    with transaction() as session:
        if ref is not None:
            query = query.where(Hold.account_id == find_or_fail(session, ref).id)
        records = [
            {
                "id": hold.id,
                "account": account,
                "state": hold.state,
                "amount": hold.amount,
                "captured": hold.captured,
                "created_at": hold.created_at,
                "expires_at": hold.expires_at,
                "finished_at": hold.finished_at,
            }
            for hold, account in session.execute(query)
        ]
    print_records(records, as_json=as_json, empty="No holds match.")


@holds.command()
@click.argument("id_", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@json_option
def show(id_: int, *, as_json: bool) -> None:
    """Show the events of hold ID."""
    with transaction() as session:
        rules.get(session, id_)
        events = session.scalars(
            select(HoldEvent).where(HoldEvent.hold_id == id_).order_by(HoldEvent.id)
        )
        records = [
            {"event": e.event, "amount": e.amount, "actor": e.actor, "created_at": e.created_at}
            for e in events
        ]
    print_records(records, as_json=as_json, empty="")


@holds.command()
@click.argument("id_", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@actor_option
@json_option
def void(id_: int, actor: str, *, as_json: bool) -> None:
    """Void hold ID and release all its credit."""
    with transaction() as session:
        hold = rules.void(session, hold_id=id_, idempotency_key=f"admin:void:{id_}", actor=actor)
        record = {"id": hold.id, "state": hold.state, "amount": hold.amount}
    print_record(record, as_json=as_json)
