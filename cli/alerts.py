"""`billing alerts list`: balances that became low, ran out or recovered; silent gateways."""

import click
from sqlalchemy.orm import Session

from billing import accounts
from billing.errors import UnknownAccount
from billing.ledger import alert_levels
from cli.options import ListView, timed_list_options
from cli.output import Columns, Record, print_list
from db.models import Account, OutboxEvent
from db.pages import Page, Wanted


@click.group()
def alerts() -> None:
    """Show alerts about balances and silent gateways.

    \b
    Example:
      billing alerts list --account clinic:42
    """


@alerts.command(name="list")
@click.option("--account", help="Only alerts of this account.")
@timed_list_options
def list_(account: str | None, *, view: ListView) -> None:
    """List alerts, newest first; one for each crossing of a level.

    A balance is low at the level of its account (`billing accounts set REF --low-balance N`) or
    of the catalog, exhausted at zero, and in debt below zero. A gateway is silent if it sends no
    webhook while orders wait for payment: check that the webhook is still enabled there.
    """

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        if account is not None and accounts.find(session, account) is None:
            raise UnknownAccount(account)
        found = alert_levels.newest(session, wanted, account=account)
        return found.map(lambda row: _alert(*row))

    print_list(read, view, columns=_COLUMNS, account=account, empty="No alerts.")


_COLUMNS = Columns("id created_at account alert balance", more="about level low_balance level_now")


def _alert(event: OutboxEvent, of: Account | None) -> Record:
    return {
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
