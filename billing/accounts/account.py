"""Accounts: opened here; their balance is changed by `billing/ledger/writer.py` alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from zoneinfo import available_timezones

from sqlalchemy import ColumnElement, and_, select, text, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import clock
import settings
from billing import audit, catalog
from billing.accounts import gst
from billing.accounts.errors import AccountExists, InvalidAccount
from billing.errors import UnknownAccount
from billing.ledger import alert_levels as alerts
from billing.ledger import availability
from billing.ledger.hash_chain import first_hash
from billing.money import MAX_CREDITS
from billing.text import REF_MAX_LENGTH, problem_with
from db import outbox
from db.models import Account

_REF = re.compile(r"[a-z][a-z0-9_]*:[A-Za-z0-9][A-Za-z0-9._-]*")


class LowBalance(Enum):
    """What a low balance may be set to that is no number."""

    OF_CATALOG = "default"
    """The account has none of its own any more: the catalog's holds."""


def create(
    session: Session,
    *,
    ref: str,
    name: str,
    product: str,
    timezone: str | None = None,
    overdraft_limit: int = 0,
    low_balance: int | None = None,
    state_code: str | None = None,
    gstin: str | None = None,
) -> Account:
    """Open an account with nothing on it and return it.

    `ref` is `kind:id` (`clinic:42`); `timezone` an IANA name, by default the house's;
    `overdraft_limit` and `low_balance` in credits, without the latter the catalog's holds;
    `state_code` the customer's GST state, by default that of its `gstin`. Raises `InvalidAccount`
    naming the field, or `AccountExists`.
    """
    if timezone is None:
        timezone = settings.get().billing_timezone
    _check(ref, name, product, timezone, overdraft_limit)
    if low_balance is not None:
        _check_credits("low_balance", low_balance)
    state_code = gst.state_of(state_code, gstin)
    created = session.scalars(
        insert(Account)
        .values(
            ref=ref,
            name=name,
            product=product,
            timezone=timezone,
            overdraft_limit=overdraft_limit,
            low_balance=low_balance,
            state_code=state_code,
            gstin=gstin,
            head_hash=first_hash(ref),
            created_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=[Account.ref])
        .returning(Account)
    ).one_or_none()
    if created is None:
        raise AccountExists(ref)
    audit.record(
        session,
        "account.opened",
        f"account:{ref}",
        before=None,
        after={
            "name": name,
            "product": product,
            "timezone": timezone,
            "overdraft_limit": overdraft_limit,
            "low_balance": low_balance,
            "state_code": state_code,
            "gstin": gstin,
        },
    )
    return created


def update(
    session: Session,
    ref: str,
    *,
    name: str | None = None,
    overdraft_limit: int | None = None,
    low_balance: int | LowBalance | None = None,
) -> Account:
    """Change what is given and return the account; the change is in the audit log.

    What is None stays as it is; `LowBalance.OF_CATALOG` takes the account's own low balance away.
    A lower limit than the debt is allowed: it stops further charges. Another low balance may
    change the level that the balance is at, which is told as if it had moved. Raises
    `UnknownAccount` or `InvalidAccount`.
    """
    account = session.scalars(
        select(Account).where(Account.ref == ref).with_for_update(key_share=True)
    ).one_or_none()
    if account is None:
        raise UnknownAccount(ref)
    if name is not None:
        _check_name(name)
    if overdraft_limit is not None:
        _check_credits("overdraft_limit", overdraft_limit)
    if low_balance is not None and low_balance is not LowBalance.OF_CATALOG:
        _check_credits("low_balance", low_balance)
    asked = {"name": name, "overdraft_limit": overdraft_limit, "low_balance": low_balance}
    after = {
        field: None if value is LowBalance.OF_CATALOG else value
        for field, value in asked.items()
        if value is not None
    }
    before = {field: getattr(account, field) for field in after}
    if before == after:
        return account
    for field, value in after.items():
        setattr(account, field, value)
    audit.record(session, "account.changed", f"account:{ref}", before=before, after=after)
    if low_balance is not None:
        _report_level(session, account, alerts.low_balance_of(account.low_balance))
    return account


def set_timezone(session: Session, ref: str, timezone: str) -> Account:
    """Give an account another zone and return it; `billing/plans/terms.py::move_to_zone` calls it.

    Raises `UnknownAccount` or `InvalidAccount`.
    """
    _check_timezone(timezone)
    account = session.scalars(
        select(Account)
        .where(Account.ref == ref)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)  # another may have moved it meanwhile
    ).one_or_none()
    if account is None:
        raise UnknownAccount(ref)
    before = account.timezone
    if before != timezone:
        account.timezone = timezone
        audit.record(
            session, "account.changed", f"account:{ref}",
            before={"timezone": before}, after={"timezone": timezone},
        )  # fmt: skip
    return account


def keep_from_new_rows(session: Session, account_id: int) -> None:
    """Lock an account against rows of other tables that would name it, such as its first plan."""
    session.scalar(select(Account.id).where(Account.id == account_id).with_for_update())


def find(session: Session, ref: str) -> Account | None:
    """Return the account, or None."""
    return session.scalars(select(Account).where(Account.ref == ref)).one_or_none()


def reach(product: str | None, account_id: int | None) -> ColumnElement[bool]:
    """Return the condition of the accounts of `product`, of the one account, or of all of them."""
    within: list[ColumnElement[bool]] = [true()]
    if product is not None:
        within.append(Account.product == product)
    if account_id is not None:
        within.append(Account.id == account_id)
    return and_(*within)


def find_in_reach(
    session: Session, ref: str, *, product: str | None, account_id: int | None
) -> Account | None:
    """Return the account; None where it is out of `reach`, just as where nobody opened it."""
    if problem_with(ref, max_length=REF_MAX_LENGTH):
        return None  # what cannot be recorded never was
    return session.scalars(
        select(Account).where(Account.ref == ref, reach(product, account_id))
    ).one_or_none()


def list_all(session: Session) -> Sequence[Account]:
    """Return every account, by reference."""
    return session.scalars(select(Account).order_by(Account.ref)).all()


def available(account: Account) -> int:
    """Return the credits that can be spent now."""
    return availability.available(
        balance=account.balance, held=account.held, overdraft_limit=account.overdraft_limit
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """What an account has at one moment, in credits."""

    balance: int
    held: int
    available: int


def figures_of(account: Account) -> Figures:
    """Return what an account had when its row was read."""
    return Figures(account.balance, account.held, available(account))


_FIGURES = text("""
SELECT balance, held, overdraft_limit FROM accounts WHERE id = :id
""")


def figures(session: Session, account_id: int) -> Figures:
    """Return what an account has, as the transaction has left it by now."""
    balance, held, overdraft_limit = session.execute(_FIGURES, {"id": account_id}).one()
    spendable = availability.available(balance=balance, held=held, overdraft_limit=overdraft_limit)
    return Figures(balance, held, spendable)


def _check(ref: str, name: str, product: str, timezone: str, overdraft_limit: int) -> None:
    problem = problem_with(ref, max_length=REF_MAX_LENGTH)
    if problem is None and not _REF.fullmatch(ref):
        problem = "must be kind:id, such as clinic:42"
    if problem:
        raise InvalidAccount("ref", problem)
    _check_name(name)
    _check_credits("overdraft_limit", overdraft_limit)
    products = catalog.get().products
    if product not in products:
        raise InvalidAccount("product", f"must be one of {', '.join(products)}, not {product!r}")
    _check_timezone(timezone)


def _check_timezone(timezone: str) -> None:
    if timezone not in _timezones():
        raise InvalidAccount(
            "timezone", f"must be an IANA name such as Asia/Kolkata, not {timezone!r}"
        )


@lru_cache(maxsize=1)  # it looks into some 600 files
def _timezones() -> frozenset[str]:
    # The first two are whatever a host makes of them, the last says that nobody chose a zone.
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def _check_name(name: str) -> None:
    problem = problem_with(name, max_length=200)
    if problem:
        raise InvalidAccount("name", problem)


def _check_credits(field: str, value: int) -> None:
    if type(value) is not int or not 0 <= value <= MAX_CREDITS:
        raise InvalidAccount(field, f"must be between 0 and {MAX_CREDITS} credits")


def _report_level(session: Session, account: Account, low_balance: int) -> None:
    before = alerts.Level(account.alert_level)
    after = alerts.level_of(account.balance, low_balance)
    account.alert_level = after.value
    notice = alerts.notice(
        ref=account.ref,
        account_id=account.id,
        before=before,
        after=after,
        balance=account.balance,
        low_balance=low_balance,
    )
    outbox.write(session, [notice] if notice else [], now=clock.now())
