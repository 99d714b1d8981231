"""`billing leads`: list and show leads; release or cancel parked ones."""

from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from billing import leads as rules
from billing.leads import parking
from cli.accounts import find_or_fail
from cli.options import (
    ListView,
    View,
    actor_of_the_log_option,
    actor_option,
    confirm,
    reason_option,
    record_options,
    timed_list_options,
    yes_option,
)
from cli.output import Columns, Record, plain, print_list, print_record
from db.models import LeadCharge, LeadConflict
from db.pages import Page, Wanted
from db.session import transaction
from errors import PermanentError
from tasks.operator_lines import released_line


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
@click.option("--account", "ref", metavar="REF", help="Only this account's.")
@timed_list_options
def list_(state: str | None, ref: str | None, *, view: ListView) -> None:
    """List leads, newest first.

    The state `conflict` lists the requests that do not match the recorded lead.
    """

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        of = find_or_fail(session, ref).id if ref is not None else None
        if state == "conflict":
            conflicts = rules.newest_conflicts(session, wanted, account_id=of)
            return conflicts.map(lambda row: _conflict(*row))
        found = rules.newest_leads(session, wanted, state=state, account_id=of)
        return found.map(lambda row: _lead(*row))

    print_list(read, view, columns=_COLUMNS, account=ref, empty="No leads match.")


_COLUMNS = Columns(
    "lead_id account state credits updated_at",
    more="package_price_paise occurred_at request_id",
)


@leads.command()
@click.argument("lead_id")
@actor_option
@yes_option
@record_options
def release(lead_id: str, actor: str, *, yes: bool, view: View) -> None:
    """Charge the parked lead LEAD_ID now.

    It goes before leads that were parked earlier. Without this command, parked leads are released
    in their order as soon as there is credit.
    """
    confirm(f"Charge lead {plain(lead_id)} now?", yes=yes)
    with transaction() as session:
        released = parking.release(session, lead_id, actor=actor)
    click.echo(released_line(released).text, err=True)
    print_record(
        {
            "lead_id": released.lead_id,
            "account": released.account,
            "state": "charged",
            "credits": released.credits,
        },
        view,
    )


@leads.command()
@click.argument("lead_id")
@reason_option
@actor_of_the_log_option
@record_options
def cancel(lead_id: str, reason: str, *, view: View) -> None:
    """Cancel the parked lead LEAD_ID; it is never charged."""
    with transaction() as session:
        parking.cancel(session, lead_id, reason=reason)
    print_record({"lead_id": lead_id, "state": "cancelled"}, view)


@leads.command()
@click.argument("lead_id")
@record_options
def show(lead_id: str, *, view: View) -> None:
    """Show lead LEAD_ID, also while it waits in the inbox."""
    with transaction() as session:
        found = rules.status.find_status(session, lead_id)
    if found is None:
        raise PermanentError(f"there is no lead {lead_id!r}: see `billing leads list`")
    print_record(asdict(found), view)


def _lead(lead: LeadCharge, account: str) -> Record:
    return {
        "lead_id": lead.lead_id,
        "account": account,
        "state": lead.state,
        "credits": lead.credits,
        "package_price_paise": lead.package_price_paise,
        "occurred_at": lead.occurred_at,
        "updated_at": lead.updated_at,
        "request_id": lead.request_id,
    }


def _conflict(conflict: LeadConflict, account: str) -> Record:
    return {
        "lead_id": conflict.lead_id,
        "account": account,
        "state": "conflict",
        "credits": 0,
        "package_price_paise": conflict.package_price_paise,
        "occurred_at": None,
        "updated_at": conflict.created_at,
        "request_id": conflict.request_id,
    }
