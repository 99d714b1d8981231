"""`billing leads`: list and show leads; release or cancel parked ones."""

from dataclasses import asdict

import click

from billing import leads as rules
from billing.leads import parking
from cli.options import actor_option, json_option, limit_option, page, reason_option
from cli.output import print_record, print_records
from db.session import transaction
from errors import PermanentError
from tasks.operator_lines import deduction_line


@click.group()
def leads() -> None:
    """List and show leads; release or cancel parked ones.

    \b
    Examples:
      billing leads list --state parked
      billing leads release L-17 --actor ops
    """


@leads.command(name="list")
@click.option(
    "--state",
    type=click.Choice(["charged", "parked", "conflict", "refunded", "cancelled"]),
    help="Only this state.",
)
@limit_option
@json_option
def list_(state: str | None, limit: int | None, *, as_json: bool) -> None:
    """List leads, newest first.

    The state `conflict` lists the requests that do not match the recorded lead.
    """
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
    print_records(records, as_json=as_json, empty="No leads match.")


@leads.command()
@click.argument("lead_id")
@actor_option
@json_option
def release(lead_id: str, actor: str, *, as_json: bool) -> None:
    """Charge the parked lead LEAD_ID now.

    It goes before leads that were parked earlier. Without this command, parked leads are released
    in their order as soon as there is credit.
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
@reason_option
@json_option
def cancel(lead_id: str, reason: str, *, as_json: bool) -> None:
    """Cancel the parked lead LEAD_ID; it is never charged."""
    with transaction() as session:
        parking.cancel(session, lead_id, reason=reason)
    print_record({"lead_id": lead_id, "state": "cancelled"}, as_json=as_json)


@leads.command()
@click.argument("lead_id")
@json_option
def show(lead_id: str, *, as_json: bool) -> None:
    """Show lead LEAD_ID, also while it waits in the inbox."""
    with transaction() as session:
        found = rules.status.find_status(session, lead_id)
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
    print_records(records, as_json=as_json, empty="No leads match.")
