"""`billing leads`: list them, look into one; release or cancel parked ones."""

from dataclasses import asdict

import click

from billing import leads as rules
from billing.leads import parking
from billing.leads import status as lead_status
from cli.output import json_option, limit_option, page, print_record, print_records
from db.session import transaction
from errors import PermanentError
from tasks.operator_lines import deduction_line


@click.group()
def leads() -> None:
    """What became of the leads; release or cancel parked ones."""


@leads.command(name="list")
@click.option(
    "--state",
    type=click.Choice(["charged", "parked", "conflict", "refunded", "cancelled"]),
    help="Only these.",
)
@limit_option
@json_option
def list_(state: str | None, limit: int | None, *, as_json: bool) -> None:
    """List leads, newest first; as conflicts the requests that were at odds with the record."""
    if state == "conflict":
        _list_conflicts(page(limit, as_json=as_json), as_json=as_json)
        return
    with transaction() as session:
        records = [
            {
                "lead_id": lead.lead_id,
                "account": ref,
                "state": lead.state,
                "credits": lead.credits,
                "package_price_paise": lead.package_price_paise,
                "occurred_at": lead.occurred_at,
                "updated_at": lead.updated_at,
            }
            for lead, ref in rules.newest_leads(
                session, state=state, limit=page(limit, as_json=as_json)
            )
        ]
    print_records(records, as_json=as_json, empty="No such leads.")


@leads.command()
@click.argument("lead_id")
@click.option("--actor", required=True, help="Who does it, such as your name.")
@json_option
def release(lead_id: str, actor: str, *, as_json: bool) -> None:
    """Charge the parked lead LEAD_ID now, before those that were parked earlier.

    Parked leads are released by themselves, in their order, when there is credit for them.
    """
    with transaction() as session:
        released = parking.release(session, lead_id, actor=actor)
    click.echo(deduction_line(released.account, released.credits), err=True)
    print_record(
        {
            "lead_id": released.lead_id,
            "account": released.account,
            "state": "charged",
            "credits": released.credits,
        },
        as_json=as_json,
    )


@leads.command()
@click.argument("lead_id")
@click.option("--reason", required=True, help="What an auditor will read.")
@json_option
def cancel(lead_id: str, reason: str, *, as_json: bool) -> None:
    """Give up the parked lead LEAD_ID: it will never be charged."""
    with transaction() as session:
        parking.cancel(session, lead_id, reason=reason)
    print_record({"lead_id": lead_id, "state": "cancelled"}, as_json=as_json)


@leads.command()
@click.argument("lead_id")
@json_option
def show(lead_id: str, *, as_json: bool) -> None:
    """Show what became of lead LEAD_ID; one that still waits in the inbox too."""
    with transaction() as session:
        found = lead_status.find_status(session, lead_id)
    if found is None:
        raise PermanentError(f"there is no lead {lead_id!r}: see `billing leads list`")
    print_record(asdict(found), as_json=as_json)


def _list_conflicts(limit: int, *, as_json: bool) -> None:
    with transaction() as session:
        records = [
            {
                "lead_id": conflict.lead_id,
                "account": ref,
                "state": "conflict",
                "credits": 0,
                "package_price_paise": conflict.package_price_paise,
                "occurred_at": None,
                "updated_at": conflict.created_at,
            }
            for conflict, ref in rules.newest_conflicts(session, limit=limit)
        ]
    print_records(records, as_json=as_json, empty="No such leads.")
