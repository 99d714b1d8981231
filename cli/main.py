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
    chargebacks,
    clock,
    corrections,
    disputes,
    forecast,
    grants,
    holds,
    imports,
    inbox,
    leads,
    ledger,
    log,
    migrate,
    payments,
    plans,
    quality,
    refunds,
)
from cli import (
    actor as who,
)
from cli import (
    reports as reading,
)
from clock import development as development_clock
from db.errors import DatabaseUnavailable
from errors import BillingError


class _Cli(click.Group):
    """Turns the errors we raise on purpose into one line for a person."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for argument in args:
            if any("\ud800" <= letter <= "\udfff" for letter in argument):
                raise click.ClickException(f"not UTF-8: {argument!a}")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            _follow_the_development_clock()
            return super().invoke(ctx)
        except DatabaseUnavailable as error:
            raise click.ClickException(
                f"PostgreSQL cannot be reached ({error}): is `make run` up,"
                " or is DATABASE_URL right?"
            ) from error
        except (BillingError, settings.SettingsError, CatalogError, CommandError) as error:
            raise click.ClickException("; ".join(str(error).splitlines())) from error
        except ZoneInfoNotFoundError as error:
            raise click.ClickException(
                f"{error.args[0]}: `billing accounts set REF --timezone` gives the account another"
                " one"
            ) from error
        except DBAPIError as error:
            # Such as a role without the right: the server's first line says it best.
            raise click.ClickException(str(error.orig).strip().split("\n", 1)[0]) from error


def _follow_the_development_clock() -> None:
    try:
        settings.get()
    except settings.SettingsError:
        return  # a command that needs them says so, and --help does not
    development_clock.follow()


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="credit-billing-workers", prog_name="billing")
def billing() -> None:
    """Accounts, credit and inbound events of the billing workers.

    Talks to the database of DATABASE_URL or, where that is not set, to the stack that
    `make run` has up in this checkout. Reading commands take --json.

    \b
    Examples:
      billing accounts create clinic:42 --name "City Clinic" --product clinic_leads
      billing credit clinic:42 1000 --reason "welcome credit" --actor ops
      billing history clinic:42
      billing inbox list --state dead
    """  # noqa: D301 - click looks for the character


billing.add_command(accounts.accounts)
billing.add_command(alerts.alerts)
billing.add_command(reading.balance)
billing.add_command(reading.history)
billing.add_command(reading.statement)
billing.add_command(reading.outstanding)
billing.add_command(corrections.credit)
billing.add_command(corrections.adjust)
billing.add_command(corrections.write_off)
billing.add_command(corrections.reverse)
billing.add_command(grants.grants)
billing.add_command(holds.holds)
billing.add_command(api_keys.api_keys)
billing.add_command(log.audit_log)
billing.add_command(forecast.forecast)
billing.add_command(imports.import_)
billing.add_command(inbox.inbox)
billing.add_command(leads.leads)
billing.add_command(disputes.disputes)
billing.add_command(quality.quality)
billing.add_command(ledger.ledger)
billing.add_command(migrate.migrate)
billing.add_command(clock.clock)
billing.add_command(payments.payments)
billing.add_command(plans.plans)
billing.add_command(refunds.refunds)
billing.add_command(chargebacks.chargebacks)


def main() -> None:
    """Entry point of the `billing` command."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal in an old encoding shows `?` for what it has no letter for.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        with audit.asked_by(who.actor(), door="cli"):
            billing()
    except BrokenPipeError:
        # `billing history ... | head`: the reader has seen enough.
        sys.stderr.close()
        sys.exit(0)
