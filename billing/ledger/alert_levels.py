"""Balance alerts: the level of a balance, and the notice when it changes.

The level is a column of the account and changes with the balance, under the account's lock, so that
each crossing is reported once however many charge at the same time. It is computed for every ledger
row, not for every batch, so that batching does not change the alerts.
"""

from enum import StrEnum

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from billing import catalog
from db.models import Account, OutboxEvent
from db.outbox import NewNotice
from db.pages import Page, Wanted, read_page


class Level(StrEnum):
    """How much credit is left, from plenty to debt."""

    OK = "ok"
    LOW = "low"
    """At most the account's low balance."""
    EXHAUSTED = "exhausted"
    IN_DEBT = "in_debt"


LOW, EXHAUSTED, IN_DEBT, RECOVERED = TOPICS = (
    "balance.low",
    "balance.exhausted",
    "balance.in_debt",
    "balance.recovered",
)
_SPENDABLE = (Level.OK, Level.LOW)
_WORSE = {Level.OK: 0, Level.LOW: 1, Level.EXHAUSTED: 2, Level.IN_DEBT: 3}


def level_of(balance: int, low_balance: int) -> Level:
    """Return the level of a balance, in credits."""
    if balance <= 0:
        return Level.IN_DEBT if balance else Level.EXHAUSTED
    return Level.LOW if balance <= low_balance else Level.OK


def low_balance_of(own: int | None) -> int:
    """Return the low balance of an account: its own, or the catalog's."""
    return catalog.get().alerts.low_balance if own is None else own


def topic(before: Level, after: Level) -> str | None:
    """Return the topic that reports a change of level; None: it is not reported.

    Down: `balance.low`; `balance.exhausted`, also for a fall from credit straight into debt, which
    the level shows; `balance.in_debt` if no credit was left before. Up: `balance.recovered` when
    there is credit again or it is no longer low; a smaller debt or a balance of zero is no credit.
    """
    if before is after:
        return None
    if _WORSE[after] < _WORSE[before]:
        return RECOVERED if after in _SPENDABLE else None
    if after is Level.LOW:
        return LOW
    return EXHAUSTED if before in _SPENDABLE else IN_DEBT


def notice(
    *,
    ref: str,
    account_id: int,
    before: Level,
    after: Level,
    balance: int,
    low_balance: int,
    request_id: str | None,
) -> NewNotice | None:
    """Return the outbox row for a change of level, or None if it is not reported."""
    changed = topic(before, after)
    if changed is None:
        return None
    return NewNotice(
        changed,
        f"account:{ref}",
        account_id,
        {
            "account": ref,
            "level": after.value,
            "previous_level": before.value,
            "balance": balance,
            "low_balance": low_balance,
        },
        request_id=request_id,
    )


def newest(
    session: Session, wanted: Wanted, *, account: str | None = None
) -> Page[tuple[OutboxEvent, Account | None]]:
    """Return the newest alerts with their accounts, newest first, optionally of one account.

    Alerts about a gateway (`billing/payments/gateway_heartbeat.py`) have no account.
    """
    query = (
        select(OutboxEvent, Account)
        .outerjoin(Account, Account.id == OutboxEvent.account_id)
        # The conditions of the partial index, so that charged leads are not scanned.
        .where(or_(OutboxEvent.topic.like("balance.%"), OutboxEvent.topic.like("gateway.%")))
    )
    if account is not None:
        query = query.where(Account.ref == account)
    return read_page(session, query, wanted, by=[OutboxEvent.id], time=OutboxEvent.created_at)
