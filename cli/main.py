"""The `billing` command. An error is one line on stderr and exit 1; wrong usage is exit 2."""

import sys
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import click
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError

import settings
from billing import audit
from billing.catalog import CatalogError
from cli import (
    accounts,
    alerts,
    api_keys,
    audit_log,
    chargebacks,
    clock,
    corrections,
    disputes,
    doctor,
    forecast,
    grants,
    history,
    holds,
    imports,
    inbox,
    leads,
    ledger,
    listen,
    migrate,
    notices,
    orders,
    payments,
    plans,
    privacy,
    quality,
    refunds,
    reports,
    requests,
    status,
    trigger,
)
from cli.actor import process_actor
from cli.output import ARGUMENTS
from clock import development as development_clock
from db import connections, schema_version
from db.errors import DatabaseUnavailable
from errors import BillingError

COMMANDS: tuple[click.Command, ...] = (
    accounts.accounts,
    alerts.alerts,
    api_keys.api_keys,
    audit_log.audit_log,
    chargebacks.chargebacks,
    clock.clock,
    corrections.adjust,
    corrections.credit,
    corrections.reverse,
    corrections.write_off,
    disputes.disputes,
    doctor.doctor,
    forecast.forecast,
    grants.grants,
    history.history,
    holds.holds,
    imports.import_,
    inbox.inbox,
    leads.leads,
    ledger.ledger,
    listen.listen,
    migrate.migrate,
    notices.notices,
    orders.orders,
    payments.payments,
    plans.plans,
    privacy.privacy,
    quality.quality,
    refunds.refunds,
    reports.balance,
    reports.outstanding,
    reports.statement,
    requests.requests,
    status.status,
    trigger.trigger,
)


class _Cli(click.Group):
    """Turns the errors that we raise on purpose into one line for a person."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for argument in args:
            if any("\ud800" <= letter <= "\udfff" for letter in argument):
                raise click.ClickException(f"the argument is not UTF-8: {argument!a}")
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            _follow_the_development_clock()
            return super().invoke(ctx)
        except DatabaseUnavailable as error:
            raise click.ClickException(
                f"PostgreSQL cannot be reached ({error}):"
                " start the stack with `make run`, or correct DATABASE_URL"
            ) from error
        except (BillingError, settings.SettingsError, CatalogError, CommandError) as error:
            raise click.ClickException("; ".join(str(error).splitlines())) from error
        except ZoneInfoNotFoundError as error:
            raise click.ClickException(
                f"{error.args[0]}: set another one with `billing accounts set REF --timezone`"
            ) from error
        except DBAPIError as error:
            # Such as a role without the right: the server's first line says it best.
            raise click.ClickException(str(error.orig).strip().split("\n", 1)[0]) from error


def _follow_the_development_clock() -> None:
    try:
        settings.require("billing_development_clock")
    except settings.SettingsError:
        return  # it stops the database too: who uses that reports the error, and --help does not
    development_clock.follow()


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="credit-billing-workers", prog_name="billing")
def billing() -> None:
    """Accounts, credit, payments and leads of the billing back office.

    Works on the database of DATABASE_URL. If that is not set, on the stack that `make run`
    has started in this checkout. Reading commands take --json.

    \b
    Examples:
      billing accounts create clinic:42 --name "City Clinic" --product clinic_leads
      billing credit clinic:42 1000 --reason "welcome credit" --actor ops
      billing history clinic:42
      billing inbox list --state dead
    """


for command in COMMANDS:
    billing.add_command(command)


def main() -> None:
    """Entry point of the `billing` command."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal in an old encoding shows `?` for a letter that it does not have.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    connections.at_first_connection(schema_version.require_on)
    try:
        with audit.asked_by(process_actor(), door="cli"):
            billing()
    except BrokenPipeError:
        # `billing history ... | head`: the reader has seen enough.
        sys.stderr.close()
        sys.exit(0)
