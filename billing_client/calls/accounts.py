"""Accounts: opening, changing and showing them, and the rows of their ledger."""

import re
from datetime import date, datetime
from enum import Enum

from billing_client.call import Call, Page, get, given, list_of, patch, post, reader_of
from billing_client.checks import (
    checked_account,
    checked_credits,
    checked_day,
    checked_id,
    checked_text,
    checked_time,
)
from billing_client.errors import InvalidRequest
from billing_client.results import Account, Balance, Statement, Transaction, TransactionKind

_MONTH = re.compile("[0-9]{4}-(0[1-9]|1[0-2])").fullmatch


def create_account(
    account: str,
    name: str,
    product: str,
    *,
    timezone: str | None,
    overdraft_limit: int | None,
    low_balance: int | None,
    state_code: str | None,
    gstin: str | None,
    idempotency_key: str | None,
) -> Call[Account]:
    """Open an account without credit."""
    fields = given(
        ref=checked_account(account),
        name=checked_text("name", name),
        product=checked_text("product", product),
        timezone=timezone,
        overdraft_limit=_credits("overdraft_limit", overdraft_limit),
        low_balance=_credits("low_balance", low_balance),
        state_code=state_code,
        gstin=gstin,
    )
    return post(
        "/v1/accounts",
        reader_of(Account),
        fields=fields,
        idempotency_key=idempotency_key,
        ref=account,
    )


class Unchanged(Enum):
    """The value of an argument that is not given, if None would mean to remove."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED


def update_account(
    account: str,
    *,
    name: str | Unchanged,
    timezone: str | Unchanged,
    state_code: str | Unchanged | None,
    gstin: str | Unchanged | None,
    low_balance: int | Unchanged | None,
    overdraft_limit: int | Unchanged,
) -> Call[Account]:
    """Set fields of an account to absolute values."""
    wanted: dict[str, object] = {
        "name": name,
        "timezone": timezone,
        "state_code": state_code,
        "gstin": gstin,
        "low_balance": low_balance,
        "overdraft_limit": overdraft_limit,
    }
    fields = {field: value for field, value in wanted.items() if value is not UNCHANGED}
    if not fields:
        raise InvalidRequest(f"{', '.join(wanted)}: give one of them at least")
    for field, value in fields.items():
        if value is None and field in ("state_code", "gstin", "low_balance"):
            continue
        if field in ("low_balance", "overdraft_limit"):
            checked_credits(field, value)
        else:
            checked_text(field, value)
    return patch(
        "/v1/accounts/{ref}", reader_of(Account), fields=fields, ref=checked_account(account)
    )


def statement(
    account: str, *, month: str | None, first_day: date | None, last_day: date | None
) -> Call[Statement]:
    """Return opening, movements and closing of a month, or of days."""
    if month is not None and first_day is None and last_day is None:
        if not isinstance(month, str) or not _MONTH(month):
            raise InvalidRequest("month: must be a month such as 2026-11")
        query: dict[str, object] = {"month": month}
    elif month is None and first_day is not None and last_day is not None:
        query = {
            "from": checked_day("first_day", first_day),
            "to": checked_day("last_day", last_day),
        }
        if last_day < first_day:
            raise InvalidRequest("last_day: must not be before first_day")
    else:
        raise InvalidRequest("month: give it, or first_day and last_day instead")
    return get(
        "/v1/accounts/{ref}/statement",
        reader_of(Statement),
        query=query,
        ref=checked_account(account),
    )


def account(account: str) -> Call[Account]:
    """Return an account and its credit."""
    return get("/v1/accounts/{ref}", reader_of(Account), ref=checked_account(account))


def balance(account: str) -> Call[Balance]:
    """Return what an account has."""
    return get("/v1/accounts/{ref}", reader_of(Balance), ref=checked_account(account))


def list_accounts(*, product: str | None) -> Call[Page[Account]]:
    """Return the accounts in reach, by their references."""
    query = given(product=None if product is None else checked_text("product", product))
    return list_of("/v1/accounts", "accounts", Account, query=query)


def history(
    account: str,
    *,
    kind: TransactionKind | str | None,
    since: datetime | None,
    until: datetime | None,
    lead_id: str | None,
    payment_id: str | None,
) -> Call[Page[Transaction]]:
    """Return the rows of an account's ledger, newest first."""
    query = given(
        kind=None if kind is None else TransactionKind(checked_id("kind", kind)),
        since=_time("since", since),
        until=_time("until", until),
        lead_id=None if lead_id is None else checked_id("lead_id", lead_id),
        payment_id=None if payment_id is None else checked_id("payment_id", payment_id),
    )
    return list_of(
        "/v1/accounts/{ref}/transactions",
        "transactions",
        Transaction,
        query=query,
        ref=checked_account(account),
    )


def _credits(name: str, value: int | None) -> int | None:
    return None if value is None else checked_credits(name, value)


def _time(name: str, value: datetime | None) -> str | None:
    return None if value is None else checked_time(name, value)
