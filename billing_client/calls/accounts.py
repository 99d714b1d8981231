"""Accounts: opening, changing and showing them, and the rows of their ledger."""

from datetime import datetime

from billing_client.call import Call, Page, get, given, list_of, post, reader_of
from billing_client.checks import (
    checked_account,
    checked_credits,
    checked_id,
    checked_text,
    checked_time,
)
from billing_client.results import Account, Balance, Transaction, TransactionKind


def create_account(
    account: str,
    name: str,
    product: str,
    *,
    timezone: str | None,
    overdraft_limit: int | None,
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
