"""`billing accounts`: open, show, list and change accounts."""

from typing import Literal

import click
from sqlalchemy.orm import Session

from billing import accounts as rules
from billing import plans
from billing.accounts import Changes
from billing.errors import UnknownAccount
from billing.ledger.alert_levels import low_balance_of
from cli.options import (
    ListView,
    View,
    actor_of_the_log_option,
    actor_option,
    list_options,
    reason_option,
    record_options,
)
from cli.output import Columns, Record, print_list, print_record
from cli.parked_leads import request_release
from db.models import Account
from db.pages import Page, Wanted
from db.session import transaction

_OF_CATALOG: Literal["default"] = "default"


def _low_balance(value: str) -> int | Literal["default"]:
    try:
        return _OF_CATALOG if value == _OF_CATALOG else int(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is neither an integer nor `default`") from error


@click.group()
def accounts() -> None:
    """Open, show, list and change accounts.

    \b
    Examples:
      billing accounts create clinic:42 --name "City Clinic" --product clinic_leads
      billing accounts set clinic:42 --low-balance 500
    """


@accounts.command()
@click.argument("ref")
@click.option("--name", required=True, help="The customer's name.")
@click.option("--product", required=True, help="clinic_leads or pharmapulse_one.")
@click.option("--timezone", help="IANA name; by default BILLING_TIMEZONE.")
@click.option(
    "--overdraft-limit",
    type=int,
    default=0,
    help="How far the balance may go below zero, in credits; default 0.",
)
@click.option(
    "--low-balance",
    type=int,
    help="The balance is low at this many credits or fewer; by default the catalog's level.",
)
@click.option("--state-code", help="The customer's GST state, such as 27; by default its GSTIN's.")
@click.option("--gstin", help="The customer's GST number, if it is registered.")
@actor_of_the_log_option
@record_options
def create(
    ref: str,
    name: str,
    product: str,
    timezone: str | None,
    overdraft_limit: int,
    low_balance: int | None,
    state_code: str | None,
    gstin: str | None,
    *,
    view: View,
) -> None:
    """Open account REF, such as clinic:42."""
    with transaction() as session:
        account = rules.create(
            session,
            ref=ref,
            name=name,
            product=product,
            timezone=timezone,
            overdraft_limit=overdraft_limit,
            low_balance=low_balance,
            state_code=state_code,
            gstin=gstin,
        )
        record = _account(account)
    print_record(record, view)


@accounts.command()
@click.argument("ref")
@record_options
def show(ref: str, *, view: View) -> None:
    """Show account REF."""
    with transaction() as session:
        record = _account(find_or_fail(session, ref))
    print_record(record, view)


@accounts.command(name="list")
@click.option("--review", is_flag=True, help="Only accounts that a person should review.")
@list_options
def list_(*, review: bool, view: ListView) -> None:
    """List accounts by reference."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return rules.list_by_ref(session, wanted, review=review).map(_account)

    empty = "No accounts yet: open one with `billing accounts create`."
    if review:
        empty = "No account is to be reviewed."
    print_list(read, view, columns=_REVIEW_COLUMNS if review else _COLUMNS, empty=empty)


_REVIEW_COLUMNS = Columns(
    "account name review_reason balance",
    more="available product timezone held overdraft_limit alert_level low_balance state_code gstin"
    " created_at",
)
_COLUMNS = Columns(
    "account name balance available",
    more="product timezone held overdraft_limit alert_level low_balance state_code gstin"
    " review_reason created_at",
)


@accounts.command(name="set")
@click.argument("ref")
@click.option("--name", help="The customer's name.")
@click.option("--timezone", help="IANA name; its plan keeps its days and months, in the new zone.")
@click.option(
    "--overdraft-limit", type=int, help="How far the balance may go below zero, in credits."
)
@click.option(
    "--low-balance",
    type=_low_balance,
    metavar="INTEGER|default",
    help="The balance is low at this many credits or fewer; `default` is the catalog's level.",
)
@actor_of_the_log_option
@record_options
def set_(
    ref: str,
    name: str | None,
    timezone: str | None,
    overdraft_limit: int | None,
    low_balance: int | Literal["default"] | None,
    *,
    view: View,
) -> None:
    """Change account REF; the audit log keeps the old values."""
    if {name, timezone, overdraft_limit, low_balance} == {None}:
        raise click.UsageError(
            "say what to change: --name, --timezone, --overdraft-limit or --low-balance"
        )
    changes: Changes = {}
    if name is not None:
        changes["name"] = name
    if overdraft_limit is not None:
        changes["overdraft_limit"] = overdraft_limit
    if low_balance is not None:
        changes["low_balance"] = None if low_balance == _OF_CATALOG else low_balance
    with transaction() as session:
        if timezone is not None:
            plans.move_to_zone(session, ref, timezone)
        record = _account(rules.update(session, ref, **changes))
    print_record(record, view)
    request_release()


@accounts.command()
@click.argument("ref")
@reason_option
@actor_option
@record_options
def reviewed(ref: str, reason: str, actor: str, *, view: View) -> None:
    """End the review of account REF: a person has looked at it."""
    with transaction() as session:
        record = _account(rules.review.end_review(session, ref, found=reason, actor=actor))
    print_record(record, view)


def find_or_fail(session: Session, ref: str) -> Account:
    """Return the account; raises `UnknownAccount`."""
    account = rules.find(session, ref)
    if account is None:
        raise UnknownAccount(ref)
    return account


def _account(account: Account) -> Record:
    return {
        "account": account.ref,
        "name": account.name,
        "product": account.product,
        "timezone": account.timezone,
        "balance": account.balance,
        "held": account.held,
        "available": rules.available(account),
        "overdraft_limit": account.overdraft_limit,
        "alert_level": account.alert_level,
        "low_balance": low_balance_of(account.low_balance),
        "state_code": account.state_code,
        "gstin": account.gstin,
        "review_reason": account.review_reason,
        "created_at": account.created_at,
    }
