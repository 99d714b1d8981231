"""`billing alerts list`: balances that became low, ran out or recovered; silent gateways."""

import click

from billing import accounts
from billing.errors import UnknownAccount
from billing.ledger import alert_levels as billing_alerts
from cli.output import json_option, limit_option, page, print_records
from db.session import transaction


@click.group()
def alerts() -> None:
    """Alerts about balances and gateways."""


@alerts.command(name="list")
@click.option("--account", help="Only those of this account.")
@limit_option
@json_option
def list_(account: str | None, limit: int | None, *, as_json: bool) -> None:
    """List the alerts, newest first; each crossing of a level is told once.

    A balance is low at the level of its account (`billing accounts set REF --low-balance N`) or
    of the catalog, exhausted at nought, in debt below. A gateway is silent that sends no webhook
    while orders wait to be paid: see that the webhook is still switched on there.
    """
    with transaction() as session:
        if account is not None and accounts.find(session, account) is None:
            raise UnknownAccount(account)
        found = billing_alerts.newest(session, account=account, limit=page(limit, as_json=as_json))
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
