"""Opening and changing accounts; only `billing/ledger/writer.py` changes their balances."""

import re
from functools import lru_cache
from typing import TypedDict, Unpack
from zoneinfo import available_timezones

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import clock
import settings
from billing import audit, catalog
from billing.accounts import gst
from billing.accounts.errors import AccountExists, InvalidAccount
from billing.errors import UnknownAccount
from billing.ledger import alert_levels
from billing.ledger.hash_chain import first_hash
from billing.money import MAX_CREDITS
from billing.text import REF_MAX_LENGTH, problem_with_identity
from db import outbox
from db.models import Account
from service import request_ids

_REF = re.compile(r"[a-z][a-z0-9_]*:[A-Za-z0-9][A-Za-z0-9._-]*")


class Changes(TypedDict, total=False):
    """What of an account is to be changed, and to what; the rest stays as it is."""

    name: str
    overdraft_limit: int
    low_balance: int | None
    """None: the catalog's."""
    state_code: str | None
    """None: that of the GSTIN, if there is one."""
    gstin: str | None
    """None: it has none."""


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
    """Open an account without credit and return it.

    `ref` is `kind:id` (`clinic:42`); `timezone` is an IANA name, by default that of the setting;
    `overdraft_limit` (up to the catalog's ceiling of the product; it is an entry of its own in the
    audit log) and `low_balance` are credits, the latter by default the catalog's;
    `state_code` is the customer's GST state, by default that of its `gstin`. Raises
    `InvalidAccount`, which names the field, or `AccountExists`.
    """
    if timezone is None:
        timezone = settings.get().billing_timezone
    _check(ref, name, product, timezone, overdraft_limit)
    if low_balance is not None:
        _check_credits("low_balance", low_balance)
    fields = {
        "name": name,
        "product": product,
        "timezone": timezone,
        "overdraft_limit": overdraft_limit,
        "low_balance": low_balance,
        "state_code": gst.state_of(state_code, gstin),
        "gstin": gstin,
    }
    created = session.scalars(
        insert(Account)
        .values(ref=ref, **fields, head_hash=first_hash(ref), created_at=clock.now())
        .on_conflict_do_nothing(index_elements=[Account.ref])
        .returning(Account)
    ).one_or_none()
    if created is None:
        raise AccountExists(ref)
    audit.record(session, "account.opened", f"account:{ref}", before=None, after=fields)
    if overdraft_limit:
        _record_limit(session, created, before=0)
    return created


def update(session: Session, ref: str, **asked: Unpack[Changes]) -> Account:
    """Change what is asked, record what differs in the audit log, and return the account.

    The values are absolute: a repeat changes nothing and records nothing. An overdraft limit below
    the debt is allowed: it stops further charges; a change of it is an entry of its own in the
    audit log. Another low balance may change the level of the balance, which is reported as if the
    balance had changed. State and GSTIN must fit each other afterwards (`gst.change`). Locks the
    account. Raises `UnknownAccount` or `InvalidAccount`.
    """
    account = _lock(session, ref)
    wanted = _checked(account, asked)
    before = {f: getattr(account, f) for f in wanted if getattr(account, f) != wanted[f]}
    after = {field: wanted[field] for field in before}
    if not after:
        return account
    for field, value in after.items():
        setattr(account, field, value)
    audit.record(session, "account.changed", f"account:{ref}", before=before, after=after)
    if "overdraft_limit" in after:
        _record_limit(session, account, before=before["overdraft_limit"])
    if "low_balance" in after:
        _report_level(session, account, alert_levels.low_balance_of(account.low_balance))
    return account


def set_timezone(session: Session, ref: str, timezone: str) -> Account:
    """Give an account another zone and return it; called by `billing/plans/zone_change.py`.

    Raises `UnknownAccount` or `InvalidAccount`.
    """
    _check_timezone(timezone)
    account = _lock(session, ref)
    before = account.timezone
    if before != timezone:
        account.timezone = timezone
        audit.record(
            session,
            "account.changed",
            f"account:{ref}",
            before={"timezone": before},
            after={"timezone": timezone},
        )
    return account


def lock_against_references(session: Session, account_id: int) -> None:
    """Lock an account against new rows that reference it, such as its first plan."""
    session.scalar(select(Account.id).where(Account.id == account_id).with_for_update())


def _lock(session: Session, ref: str) -> Account:
    account = session.scalars(
        select(Account)
        .where(Account.ref == ref)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)  # it may have been read before, and be changed
    ).one_or_none()
    if account is None:
        raise UnknownAccount(ref)
    return account


def _checked(account: Account, asked: Changes) -> dict[str, object]:
    """Return the columns that are asked for with their values; raises `InvalidAccount`."""
    wanted: dict[str, object] = {**asked}
    if "name" in asked:
        _check_name(asked["name"])
    if "overdraft_limit" in asked:
        _check_overdraft(account.product, asked["overdraft_limit"])
    if "low_balance" in asked and asked["low_balance"] is not None:
        _check_credits("low_balance", asked["low_balance"])
    of_gst: dict[str, str | None] = {}
    if "state_code" in asked:
        of_gst["state_code"] = asked["state_code"]
    if "gstin" in asked:
        of_gst["gstin"] = asked["gstin"]
    if of_gst:
        wanted["state_code"], wanted["gstin"] = gst.change(
            account.state_code, account.gstin, of_gst
        )
    return wanted


def _record_limit(session: Session, account: Account, *, before: object) -> None:
    # One field among many in the entry of the account; but it is credit that somebody granted.
    audit.record(
        session,
        "account.overdraft_set",
        f"account:{account.ref}",
        before={"overdraft_limit": before},
        after={
            "overdraft_limit": account.overdraft_limit,
            "ceiling": _ceiling_of(account.product),
        },
    )


def _check(ref: str, name: str, product: str, timezone: str, overdraft_limit: int) -> None:
    problem = problem_with_identity(ref, max_length=REF_MAX_LENGTH)
    if problem is None and not _REF.fullmatch(ref):
        problem = "must be kind:id, such as clinic:42"
    if problem:
        raise InvalidAccount("ref", problem)
    _check_name(name)
    products = catalog.get().products
    if product not in products:
        raise InvalidAccount("product", f"must be one of {', '.join(products)}", given=product)
    _check_overdraft(product, overdraft_limit)
    _check_timezone(timezone)


def _check_timezone(timezone: str) -> None:
    if timezone not in _timezones():
        raise InvalidAccount(
            "timezone", "must be an IANA name such as Asia/Kolkata", given=timezone
        )


@lru_cache(maxsize=1)  # it reads some 600 files
def _timezones() -> frozenset[str]:
    # The first two depend on the host; the last one means that no zone was chosen.
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def _check_name(name: str) -> None:
    problem = problem_with_identity(name, max_length=200)
    if problem:
        raise InvalidAccount("name", problem)


def _check_credits(field: str, value: int) -> None:
    if type(value) is not int or not 0 <= value <= MAX_CREDITS:
        raise InvalidAccount(field, f"must be between 0 and {MAX_CREDITS} credits")


def _check_overdraft(product: str, limit: int) -> None:
    _check_credits("overdraft_limit", limit)
    ceiling = _ceiling_of(product)
    if limit > ceiling:
        raise InvalidAccount(
            "overdraft_limit",
            f"must be at most {ceiling} credits, the ceiling of {product}"
            f" (products.{product}.max_overdraft_credits in the catalog)",
        )


def _ceiling_of(product: str) -> int:
    found = catalog.get().products.get(product)  # None: dropped from the catalog
    return found.max_overdraft_credits if found is not None else 0


def _report_level(session: Session, account: Account, low_balance: int) -> None:
    before = alert_levels.Level(account.alert_level)
    after = alert_levels.level_of(account.balance, low_balance)
    account.alert_level = after.value
    notice = alert_levels.notice(
        ref=account.ref,
        account_id=account.id,
        before=before,
        after=after,
        balance=account.balance,
        low_balance=low_balance,
        request_id=request_ids.current(),
    )
    outbox.write(session, [notice] if notice else [], now=clock.now())
