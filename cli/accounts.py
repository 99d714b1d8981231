"""`billing accounts`: open, show, list and change them."""

import click
from sqlalchemy.orm import Session

from billing import accounts as rules
from billing import plans
from billing.accounts import LowBalance
from billing.accounts import review as account_review
from billing.errors import UnknownAccount
from billing.ledger.alert_levels import low_balance_of
from cli.output import Record, json_option, print_record, print_records
from cli.release import release_parked
from db.models import Account
from db.session import transaction


def _low_balance(value: str) -> int | LowBalance:
    try:
        return LowBalance.OF_CATALOG if value == LowBalance.OF_CATALOG.value else int(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is neither an integer nor `default`.") from error


@click.group()
def accounts() -> None:
    """Open, show and list accounts."""


@accounts.command()
@click.argument("ref")
@click.option("--name", required=True, help="What people call the customer.")
@click.option("--product", required=True, help="clinic_leads or pharmapulse_one.")
@click.option("--timezone", help="IANA name; by default BILLING_TIMEZONE.")
@click.option("--overdraft-limit", type=int, default=0, help="Credits below nought; default 0.")
@click.option(
    "--low-balance", type=int,
    help="Up to so many credits, the balance is called low; by default the catalog's.",
)  # fmt: skip
@click.option("--state-code", help="The customer's GST state, such as 27; by default its GSTIN's.")
@click.option("--gstin", help="The customer's GST number, where it is registered.")
@json_option
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
    as_json: bool,
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
    print_record(record, as_json=as_json)


@accounts.command()
@click.argument("ref")
@json_option
def show(ref: str, *, as_json: bool) -> None:
    """Show account REF."""
    with transaction() as session:
        record = _account(find_or_fail(session, ref))
    print_record(record, as_json=as_json)


@accounts.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """List all accounts."""
    with transaction() as session:
        records = [_account(account) for account in rules.list_all(session)]
    print_records(
        records, as_json=as_json, empty="No accounts yet: `billing accounts create --help`"
    )


@accounts.command(name="set")
@click.argument("ref")
@click.option("--name", help="What people call the customer.")
@click.option(
    "--timezone", help="IANA name; the days and months of its plan stay, in the new zone."
)
@click.option("--overdraft-limit", type=int, help="Credits below nought.")
@click.option(
    "--low-balance", type=_low_balance, metavar="INTEGER|default",
    help="Up to so many credits, the balance is called low; `default`: the catalog's.",
)  # fmt: skip
@json_option
def set_(
    ref: str,
    name: str | None,
    timezone: str | None,
    overdraft_limit: int | None,
    low_balance: int | LowBalance | None,
    *,
    as_json: bool,
) -> None:
    """Change account REF; the audit log keeps what was before."""
    if {name, timezone, overdraft_limit, low_balance} == {None}:
        raise click.UsageError(
            "say what to change: --name, --timezone, --overdraft-limit or --low-balance"
        )
    with transaction() as session:
        if timezone is not None:
            plans.move_to_zone(session, ref, timezone)
        record = _account(
            rules.update(
                session,
                ref,
                name=name,
                overdraft_limit=overdraft_limit,
                low_balance=low_balance,
            )
        )
    print_record(record, as_json=as_json)
    release_parked()


@accounts.command()
@click.argument("ref")
@click.option("--reason", required=True, help="What was found, as an auditor will read it.")
@click.option("--actor", required=True, help="Who has looked, such as your name.")
@json_option
def reviewed(ref: str, reason: str, actor: str, *, as_json: bool) -> None:
    """Say that a person has looked at account REF: it is not under review any more."""
    with transaction() as session:
        record = _account(account_review.end_review(session, ref, found=reason, actor=actor))
    print_record(record, as_json=as_json)


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
