"""Balance alerts: the level that a balance is at, and what is told when it changes.

The level stands on the account and changes under its lock, with the balance, so that one crossing
is told once whoever charges at the same time. Every ledger row is looked at, not every batch: how
charges were gathered makes no difference to what is told.
"""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Row, or_, select
from sqlalchemy.orm import Session

from billing import catalog
from db.models import Account, OutboxEvent
from db.outbox import NewNotice


class Level(StrEnum):
    """How much credit is left, from much to less than none."""

    OK = "ok"
    LOW = "low"
    """As many credits as the account's low balance, or fewer."""
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
    """Return what a change of level is told as; None: nothing to tell.

    Down: `balance.low`, `balance.exhausted` (into debt at once as well: the level tells), and
    `balance.in_debt` once nothing was left before. Up: `balance.recovered` when there is credit
    again, and when it is no longer low; a debt that became smaller or nought is no credit.
    """
    if before is after:
        return None
    if _WORSE[after] < _WORSE[before]:
        return RECOVERED if after in _SPENDABLE else None
    if after is Level.LOW:
        return LOW
    return EXHAUSTED if before in _SPENDABLE else IN_DEBT


def notice(
    *, ref: str, account_id: int, before: Level, after: Level, balance: int, low_balance: int
) -> NewNotice | None:
    """Return the outbox row of a change of level, or None where nothing is to be told."""
    told = topic(before, after)
    if told is None:
        return None
    return NewNotice(
        told,
        f"account:{ref}",
        account_id,
        {
            "account": ref,
            "level": after.value,
            "previous_level": before.value,
            "balance": balance,
            "low_balance": low_balance,
        },
    )


def newest(
    session: Session, *, account: str | None, limit: int
) -> Sequence[Row[OutboxEvent, Account | None]]:
    """Return the newest alerts and their accounts, newest first, of one account where given.

    Those about a gateway (`billing/payments/gateway_heartbeat.py`) have no account.
    """
    query = (
        select(OutboxEvent, Account)
        .outerjoin(Account, Account.id == OutboxEvent.account_id)
        # The words of the partial index, so that charged leads are not looked through.
        .where(or_(OutboxEvent.topic.like("balance.%"), OutboxEvent.topic.like("gateway.%")))
        .order_by(OutboxEvent.id.desc())
        .limit(limit)
    )
    if account is not None:
        query = query.where(Account.ref == account)
    return session.execute(query).all()
