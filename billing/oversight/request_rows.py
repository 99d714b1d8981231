"""What a request wrote: every row of the database that carries its id, each in one line.

The tables are those of the models that have the column `request_id`: a new one is found by
itself, and `_LINES` then gives it a better line. Columns that may hold personal data
(`db/personal_data.py`) are not read.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, func, select
from sqlalchemy.orm import Session

from billing.money import rupees
from db.models import Account, ApiRequest, Base, InboundEvent
from db.personal_data import PERSONAL

MOST = 100
"""Rows of one table that are shown: a request for a hundred leads writes as many."""
_SLACK = timedelta(hours=1)
"""More than a row's time can be before that of its request, by the clocks of two hosts."""
_COLUMN = "request_id"
_TIMES = ("created_at", "received_at")
"""Of which each table has one."""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A row that names a request, and the command that shows more of it."""

    table: str
    id: str
    at: datetime
    what: str
    look: str | None = None


def tables() -> list[Table]:
    """Return the tables whose rows name their request."""
    return [table for table in Base.metadata.sorted_tables if _COLUMN in table.c]


def rows_of_request(
    session: Session, request_id: str, *, since: datetime | None
) -> list[RequestRow]:
    """Return the rows with this id, the oldest first, at most `MOST` of each table.

    `since` is when the request came, if that is known: older rows are not read. Most tables have no
    index of the column, so that no posting pays for it. Those where requests come in have one, and
    so say when it came. Without either the tables are read whole.
    """
    since = since or _came_in_at(session, request_id)
    found = [row for table in tables() for row in _rows(session, table, request_id, since)]
    return sorted(found, key=lambda row: (row.at, row.table))


def _came_in_at(session: Session, request_id: str) -> datetime | None:
    """Return when the first request with this id left a row where requests come in."""
    first_times = (
        select(func.min(InboundEvent.received_at)).where(InboundEvent.request_id == request_id),
        select(func.min(ApiRequest.created_at)).where(ApiRequest.request_id == request_id),
    )
    known = [at for query in first_times if (at := session.scalar(query)) is not None]
    return min(known, default=None)


def _rows(
    session: Session, table: Table, request_id: str, since: datetime | None
) -> Iterator[RequestRow]:
    time = next(table.c[name] for name in _TIMES if name in table.c)
    line = _LINES.get(table.name, _a_row)
    for row in session.execute(_query(table, time, request_id, since)):
        # The last column of its key: of an Idempotency-Key the key, and not whose it is.
        [*_, key] = table.primary_key
        what, look = line(row)
        yield RequestRow(
            table.name, str(getattr(row, key.name)), getattr(row, time.name), what, look
        )


def _query(
    table: Table, time: ColumnElement[datetime], request_id: str, since: datetime | None
) -> Select[*tuple[Any, ...]]:
    personal = PERSONAL.get(table.name, {})
    columns = [column for column in table.c if column.name not in personal]
    query = select(*columns).where(table.c[_COLUMN] == request_id).order_by(time).limit(MOST)
    if "account_id" in table.c:
        accounts = Account.__table__
        query = query.add_columns(accounts.c.ref.label("account")).select_from(
            table.outerjoin(accounts, accounts.c.id == table.c.account_id)
        )
    if since is None:
        return query
    oldest = since - _SLACK
    if "id" in table.c and table is not Account.__table__:
        # Ids rise with the time: the newest id that is too old bounds what is read.
        before = select(table.c.id).where(time < oldest).order_by(table.c.id.desc()).limit(1)
        query = query.where(table.c.id > func.coalesce(before.scalar_subquery(), 0))
    return query.where(time >= oldest)


Line = Callable[[Row[Any]], tuple[str, str | None]]


def _look(command: str, *names: object) -> str:
    return shlex.join(["billing", *command.split(), *map(str, names)])


def _a_row(_row: Row[Any]) -> tuple[str, str | None]:
    return "a row", None


def _of_plan(row: Row[Any]) -> tuple[str, str]:
    return f"plan {row.plan_type} of {row.account}", _look("plans show", row.account)


def _of_account(row: Row[Any]) -> tuple[str, str]:
    return f"account {row.ref} of {row.product}", _look("accounts show", row.ref)


def _of_api_request(row: Row[Any]) -> tuple[str, None]:
    answered = f"answered {row.status}" if row.status is not None else "without an answer so far"
    return f"{row.request} with an Idempotency-Key, {answered}", None


def _of_audit_log(row: Row[Any]) -> tuple[str, str]:
    return f"{row.action} {row.subject}", _look("audit-log --subject", row.subject)


def _of_chargeback(row: Row[Any]) -> tuple[str, str]:
    return f"chargeback {row.gateway_dispute_id}: {row.state}", _look("chargebacks list")


def _of_order(row: Row[Any]) -> tuple[str, str]:
    name = row.gateway_order_id or row.receipt
    what = f"{name} of {row.account}: {row.state}, {_money(row)}"
    return what, _look("orders show", name)


def _of_payment(row: Row[Any]) -> tuple[str, str]:
    name = row.gateway_payment_id
    return f"{name}: {row.state}, {_money(row)}", _look("payments show", name)


def _of_refund(row: Row[Any]) -> tuple[str, str]:
    what = f"refund {row.id}: {row.state}, credit {row.position}"
    return what, _look("refunds show", row.id)


def _of_transaction(row: Row[Any]) -> tuple[str, str]:
    what = f"{row.kind}, {row.amount:+,} credits of {row.account}, then {row.balance_after:,}"
    return what, _look("history", row.account)


def _of_hold_event(row: Row[Any]) -> tuple[str, str]:
    return f"hold {row.hold_id} {row.event}: {row.amount:,}", _look("holds show", row.hold_id)


def _of_hold(row: Row[Any]) -> tuple[str, str]:
    what = f"hold of {row.amount:,} credits of {row.account}: {row.state}"
    return what, _look("holds show", row.id)


def _of_event(row: Row[Any]) -> tuple[str, str]:
    return f"{row.type or row.source} {row.event_id}: {row.state}", _look("inbox show", row.id)


def _of_lead(row: Row[Any]) -> tuple[str, str]:
    what = f"lead {row.lead_id} of {row.account}: {row.state}, {row.credits:,} credits"
    return what, _look("leads show", row.lead_id)


def _of_conflict(row: Row[Any]) -> tuple[str, str]:
    return f"lead {row.lead_id}, asked for otherwise before", _look("leads show", row.lead_id)


def _of_dispute(row: Row[Any]) -> tuple[str, str]:
    what = f"dispute of lead {row.lead_id}, {row.type}: {row.state}"
    return what, _look("disputes show", row.id)


def _of_contact(row: Row[Any]) -> tuple[str, str]:
    of = "of operators" if row.account is None else f"of {row.account}"
    return f"contact {row.id} {of}", _look("notices contacts list")


def _of_mail(row: Row[Any]) -> tuple[str, str]:
    return f"mail {row.kind}: {row.state}", _look("notices mails")


def _of_outbox(row: Row[Any]) -> tuple[str, str]:
    return f"{row.topic} {row.subject}", _look("notices show", f"ntc_{row.id}")


def _of_term(row: Row[Any]) -> tuple[str, str]:
    what = f"year {row.number} of {row.account}, {row.kind}"
    return what, _look("plans show", row.account)


def _money(row: Row[Any]) -> str:
    if row.currency == "INR":
        return rupees(row.amount_paise)
    return f"{row.amount_paise:,} of the smallest unit of {row.currency}"


_LINES: Mapping[str, Line] = {
    "account_plans": _of_plan,
    "accounts": _of_account,
    "api_requests": _of_api_request,
    "billing_audit_log": _of_audit_log,
    "billing_chargebacks": _of_chargeback,
    "billing_orders": _of_order,
    "billing_payments": _of_payment,
    "billing_refunds": _of_refund,
    "credit_transactions": _of_transaction,
    "hold_events": _of_hold_event,
    "holds": _of_hold,
    "inbound_events": _of_event,
    "lead_charges": _of_lead,
    "lead_conflicts": _of_conflict,
    "lead_disputes": _of_dispute,
    "notice_contacts": _of_contact,
    "notice_mails": _of_mail,
    "outbox_events": _of_outbox,
    "plan_terms": _of_term,
}
