"""`billing holds`: credit that is set aside."""

from zoneinfo import ZoneInfo

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from billing.credit import holds as rules
from cli.accounts import find_or_fail
from cli.options import (
    ListView,
    View,
    actor_option,
    confirm,
    record_options,
    table_options,
    timed_list_options,
    yes_option,
)
from cli.output import Columns, Record, print_list, print_record, print_records
from db.models import Account, Hold, HoldEvent
from db.pages import Page, Wanted, read_page
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
@timed_list_options
def list_(state: str | None, ref: str | None, *, view: ListView) -> None:
    """List holds, newest first."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        query = select(Hold, Account.ref).join(Account, Account.id == Hold.account_id)
        if state is not None:
            query = query.where(Hold.state == state)
        if ref is not None:
            query = query.where(Hold.account_id == find_or_fail(session, ref).id)
        found = read_page(session, query, wanted, by=[Hold.id], time=Hold.created_at)
        return found.map(lambda row: _hold(*row))

    print_list(read, view, columns=_COLUMNS, account=ref, empty="No holds match.")


_COLUMNS = Columns(
    "id account state amount expires_at", more="captured created_at finished_at request_id"
)


def _hold(hold: Hold, account: str) -> Record:
    return {
        "id": hold.id,
        "account": account,
        "state": hold.state,
        "amount": hold.amount,
        "captured": hold.captured,
        "created_at": hold.created_at,
        "expires_at": hold.expires_at,
        "finished_at": hold.finished_at,
        "request_id": hold.request_id,
    }


@holds.command()
@click.argument("id_", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@table_options
def show(id_: int, *, view: View) -> None:
    """Show the events of hold ID."""
    with transaction() as session:
        account = session.get_one(Account, rules.get(session, id_).account_id)
        events = session.scalars(
            select(HoldEvent).where(HoldEvent.hold_id == id_).order_by(HoldEvent.id)
        )
        records = [
            {
                "event": e.event,
                "amount": e.amount,
                "actor": e.actor,
                "created_at": e.created_at,
                "request_id": e.request_id,
            }
            for e in events
        ]
    zone = ZoneInfo(account.timezone)
    columns = Columns("event amount actor created_at+request_id")
    print_records(records, view, columns=columns, zone=zone, empty="No events.")


@holds.command()
@click.argument("id_", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@actor_option
@yes_option
@record_options
def void(id_: int, actor: str, *, yes: bool, view: View) -> None:
    """Void hold ID and release all its credit."""
    confirm(f"Release the credit of hold {id_}?", yes=yes)
    with transaction() as session:
        hold = rules.void(session, hold_id=id_, idempotency_key=f"admin:void:{id_}", actor=actor)
        record = {"id": hold.id, "state": hold.state, "amount": hold.amount}
    print_record(record, view)
