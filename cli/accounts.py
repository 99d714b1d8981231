"""`billing accounts`, `balance`, `history` and `credit`."""

from uuid import uuid4

import click
from sqlalchemy.orm import Session

from billing import accounts as book
from billing import admin
from billing.errors import UnknownAccount
from billing.history import history as read_history
from billing.postings import Outcome
from cli.output import Record, json_option, print_record, print_records
from db.models import Account, CreditTransaction
from db.session import transaction


@click.group()
def accounts() -> None:
    """Open, show and list accounts."""


@accounts.command()
@click.argument("ref")
@click.option("--name", required=True, help="What people call the customer.")
@click.option("--product", required=True, help="clinic_leads or pharmapulse_one.")
@click.option("--timezone", help="IANA name; by default BILLING_TIMEZONE.")
@click.option("--overdraft-limit", type=int, default=0, help="Credits below nought; default 0.")
@json_option
def create(
    ref: str, name: str, product: str, timezone: str | None, overdraft_limit: int, *, as_json: bool
) -> None:
    """Open account REF, such as clinic:42."""
    with transaction() as session:
        account = book.create(
            session,
            ref=ref,
            name=name,
            product=product,
            timezone=timezone,
            overdraft_limit=overdraft_limit,
        )
        record = _account(account)
    print_record(record, as_json=as_json)


@accounts.command()
@click.argument("ref")
@json_option
def show(ref: str, *, as_json: bool) -> None:
    """Show account REF."""
    with transaction() as session:
        record = _account(_find(session, ref))
    print_record(record, as_json=as_json)


@accounts.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """List all accounts."""
    with transaction() as session:
        records = [_account(account) for account in book.list_all(session)]
    print_records(
        records, as_json=as_json, empty="No accounts yet: `billing accounts create --help`"
    )


@click.command()
@click.argument("ref")
@json_option
def balance(ref: str, *, as_json: bool) -> None:
    """Show what account REF has and can spend."""
    with transaction() as session:
        account = _find(session, ref)
        record = {
            "account": account.ref,
            "balance": account.balance,
            "held": account.held,
            "available": book.available(account),
            "overdraft_limit": account.overdraft_limit,
        }
    print_record(record, as_json=as_json)


@click.command()
@click.argument("ref")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="How many; default 20.")
@json_option
def history(ref: str, limit: int, *, as_json: bool) -> None:
    """Show what happened on account REF, newest first."""
    with transaction() as session:
        records = [_transaction(row) for row in read_history(session, ref, limit=limit)]
    print_records(records, as_json=as_json, empty=f"Nothing has happened on {ref} yet.")


@click.command(context_settings={"ignore_unknown_options": True})  # so that -5 is an amount
@click.argument("ref")
@click.argument("amount", type=int)
@click.option("--reason", required=True, help="What an auditor will read.")
@click.option("--actor", required=True, help="Who gives it, such as your name.")
@click.option("--key", help="Idempotency key: the same key and content is applied once.")
@json_option
def credit(
    ref: str, amount: int, reason: str, actor: str, key: str | None, *, as_json: bool
) -> None:
    """Give account REF an AMOUNT of credits, as goodwill."""
    key = f"admin:{uuid4()}" if key is None else key
    with transaction() as session:
        result = admin.credit(
            session,
            account=ref,
            amount=amount,
            reason=reason,
            actor=actor,
            idempotency_key=key,
        )
    record = {
        "account": ref,
        "amount": amount,
        "balance": result.balance_after,
        "transaction_id": result.transaction_id,
        "idempotency_key": key,
        "repeated": result.outcome is Outcome.REPEATED,
    }
    print_record(record, as_json=as_json)


def _find(session: Session, ref: str) -> Account:
    account = book.find(session, ref)
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
        "available": book.available(account),
        "overdraft_limit": account.overdraft_limit,
        "created_at": account.created_at,
    }


def _transaction(row: CreditTransaction) -> Record:
    return {
        "id": row.id,
        "version": row.version,
        "amount": row.amount,
        "balance_after": row.balance_after,
        "kind": row.kind,
        "idempotency_key": row.idempotency_key,
        "description": row.description,
        "event_at": row.event_at,
    }
