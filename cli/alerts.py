"""`billing alerts list`: balances that became low, ran out or recovered; silent gateways."""

import click

from billing import accounts
from billing.errors import UnknownAccount
from billing.ledger import alert_levels
from cli.options import json_option, limit_option, page
from cli.output import print_records
from db.session import transaction


@click.group()
def alerts() -> None:
    """Show alerts about balances and silent gateways.

    \b
    Example:
      billing alerts list --account clinic:42
    """


@alerts.command(name="list")
@click.option("--account", help="Only alerts of this account.")
@limit_option
@json_option
def list_(account: str | None, limit: int | None, *, as_json: bool) -> None:
    """List alerts, newest first; one for each crossing of a level.

    A balance is low at the level of its account (`billing accounts set REF --low-balance N`) or
    of the catalog, exhausted at zero, and in debt below zero. A gateway is silent if it sends no
    webhook while orders wait for payment: check that the webhook is still enabled there.
    """
    with transaction() as session:
        if account is not None and accounts.find(session, account) is None:
            raise UnknownAccount(account)
        found = alert_levels.newest(session, account=account, limit=page(limit, as_json=as_json))
        records = [
            {
                "id": event.id,
                "created_at": event.created_at,
                "about": event.subject,
                "account": of and of.ref,
                "alert": event.topic,
                "level": event.payload.get("level"),
                "balance": event.payload.get("balance"),
                "low_balance": event.payload.get("low_balance"),
                "level_now": of and of.alert_level,
            }
            for event, of in found
        ]
    print_records(records, as_json=as_json, empty="No alerts.")
