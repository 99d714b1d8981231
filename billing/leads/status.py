"""The status of one lead within the caller's reach, for the API and the command.

A lead is found from the moment its event is recorded, whether it is charged yet or not. Nothing is
written for that: the few rows of the inbox that wait are searched for the lead's id.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import ColumnElement, func, literal, null, select, text, union_all
from sqlalchemy.orm import Session

from billing import accounts, catalog
from billing.leads.pricing import lead_price_credits
from billing.leads.request import MAX_PRICE_PAISE, LeadRequest
from billing.text import ID_MAX_LENGTH, problem_with
from db.models import Account, InboundEvent, LeadCharge, LeadConflict

SOURCES = ("leads", "lead_calls", "api_leads")
"""The sources of inbox rows that ask for a lead to be charged: one for each door."""
WAITS_FOR_AN_OPERATOR = "waits for an operator"
NOT_A_LEAD = "its event is of another type than lead.created: only that is charged"
CANDIDATES_AT_ONCE = 50
"""Rows that are read in one piece, of those whose body holds the id: mostly one or two, but a
tenant may send the id of another one's lead any number of times."""


@dataclass(frozen=True, slots=True)
class LeadStatus:
    """A lead of an account within reach."""

    lead_id: str
    account: str
    state: str
    """pending, refused, or as in `lead_charges`: charged, parked, conflict, refunded, cancelled."""
    credits: int
    """Its price; zero for a conflict, which takes nothing."""
    package_price_paise: int
    conflicts: int
    """Requests for it, by accounts within reach, that did not match the record."""
    occurred_at: datetime | None
    updated_at: datetime
    reason: str | None = None
    """Why it is refused, or still pending, if that is known."""
    created_at: datetime | None = None
    """When it was charged or parked first; None until then."""


def find_status(
    session: Session, lead_id: str, *, product: str | None = None, account_id: int | None = None
) -> LeadStatus | None:
    """Return the status of a lead; None if it is unknown, or of an account out of reach.

    In reach are the accounts of `product`, the account of `account_id`, or all of them.
    """
    if problem_with(lead_id, max_length=ID_MAX_LENGTH):
        return None  # what cannot be recorded never was
    reach = accounts.in_reach(product, account_id)
    everything = product is None and account_id is None
    return (
        _on_record(session, lead_id, reach)
        or _pending(session, lead_id, reach, everything=everything)
        or _refused(session, lead_id, reach)
        # A worker may have taken it from the inbox between the two looks.
        or _on_record(session, lead_id, reach)
    )


def find_on_record(
    session: Session, lead_id: str, *, product: str | None = None, account_id: int | None = None
) -> LeadStatus | None:
    """Return what `find_status` does, from the record alone: None if nothing was decided yet.

    The inbox is not searched.
    """
    return _on_record(session, lead_id, accounts.in_reach(product, account_id))


def pending(request: LeadRequest, *, since: datetime, reason: str | None = None) -> LeadStatus:
    """Return the status of a lead that waits for its charge since `since`, with its price."""
    price = request.package_price_paise
    return LeadStatus(
        request.lead_id, request.account, "pending",
        lead_price_credits(price, catalog.get().lead_pricing.tiers), price, 0,
        request.occurred_at, since, reason,
    )  # fmt: skip


def _on_record(session: Session, lead_id: str, reach: ColumnElement[bool]) -> LeadStatus | None:
    """Return the lead, or the newest of the requests for it if none was ever accepted.

    One statement: a lead and a request that conflicts with it may be committed together, and are
    then seen together.
    """
    conflicts = LeadConflict.lead_id == lead_id
    number = (
        select(func.count())
        .select_from(LeadConflict)
        .join(Account, Account.id == LeadConflict.account_id)
        .where(conflicts, reach)
        .correlate(None)
        .scalar_subquery()
    )
    lead = (
        select(
            literal(1).label("rank"), literal(0).label("id"), Account.ref, LeadCharge.state,
            LeadCharge.credits, LeadCharge.package_price_paise, number.label("conflicts"),
            LeadCharge.occurred_at, LeadCharge.updated_at, null().label("reason"),
            LeadCharge.created_at,
        )
        .join(Account, Account.id == LeadCharge.account_id)
        .where(LeadCharge.lead_id == lead_id, reach)
    )  # fmt: skip
    conflict = (
        select(
            literal(2), LeadConflict.id, Account.ref, literal("conflict"), literal(0),
            LeadConflict.package_price_paise, number, null(), LeadConflict.created_at, null(),
            null(),
        )
        .join(Account, Account.id == LeadConflict.account_id)
        .where(conflicts, reach)
    )  # fmt: skip
    either = union_all(lead, conflict).order_by(text("rank, id DESC")).limit(1)
    row = session.execute(either).one_or_none()
    return LeadStatus(lead_id, *row[2:]) if row else None


def _pending(
    session: Session, lead_id: str, reach: ColumnElement[bool], *, everything: bool
) -> LeadStatus | None:
    out_of_reach: set[str] = set()
    for request, dead, since in _unfinished_requests(session, lead_id):
        if request.account in out_of_reach:
            continue
        account = session.scalar(select(Account.ref).where(Account.ref == request.account, reach))
        if account is None and everything:
            account = request.account  # it is not opened yet
        if account is None:
            out_of_reach.add(request.account)
        else:
            return pending(request, since=since, reason=WAITS_FOR_AN_OPERATOR if dead else None)
    return None


# Each half uses its own partial index; `id + 0` keeps PostgreSQL from walking back through the
# finished rows in the order of the primary key. The id in quotes is searched for as bytes, so that
# only the bodies that hold it are parsed, mostly one or two.
_CANDIDATES = text("""
(SELECT 1 AS rank, id + 0 AS id, body, received_at AS since FROM inbound_events
  WHERE state = 'pending' AND source = ANY(CAST(:sources AS text[]))
    AND EXISTS (SELECT FROM unnest(CAST(:needles AS bytea[])) AS needle
                 WHERE position(needle IN body) > 0))
UNION ALL
(SELECT 2, id + 0, body, coalesce(handled_at, received_at) FROM inbound_events
  WHERE state = 'dead' AND source = ANY(CAST(:sources AS text[])) AND lead_id IS NULL
    AND EXISTS (SELECT FROM unnest(CAST(:needles AS bytea[])) AS needle
                 WHERE position(needle IN body) > 0))
ORDER BY rank, id DESC
""")


class _Event(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    data: LeadRequest


def _refused(session: Session, lead_id: str, reach: ColumnElement[bool]) -> LeadStatus | None:
    """Return the newest request for the lead that was refused, with the reason.

    Else the newest event about it that charges nothing, because of its type. Its account need not
    exist; then only who sees everything sees it.
    """
    query = (
        select(InboundEvent)
        .outerjoin(Account, Account.ref == InboundEvent.account_ref)
        .where(
            InboundEvent.lead_id == lead_id,
            InboundEvent.state.in_(("dead", "ignored")),
            InboundEvent.source.in_(SOURCES),
            reach,
        )
        .order_by(InboundEvent.state, InboundEvent.id.desc())  # dead before ignored
        .limit(1)
    )
    row = session.scalars(query).one_or_none()
    if row is None:
        return None
    return LeadStatus(
        lead_id, row.account_ref or "", "refused", 0, _price_in(row.body), 0, None,
        row.handled_at or row.received_at,
        NOT_A_LEAD if row.state == "ignored" else row.last_error,
    )  # fmt: skip


def _price_in(body: bytes) -> int:
    """Return the price of the package in a body that was refused; zero if it has none."""
    try:
        price = json.loads(body)["data"]["package_price_paise"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0
    return price if type(price) is int and 0 <= price <= MAX_PRICE_PAISE else 0


def _unfinished_requests(
    session: Session, lead_id: str
) -> Iterator[tuple[LeadRequest, bool, datetime]]:
    """Yield the unfinished requests for this lead (request, is dead, since), pending ones first."""
    with session.execute(
        _CANDIDATES,
        {"needles": spellings_of(lead_id), "sources": list(SOURCES)},
        execution_options={"yield_per": CANDIDATES_AT_ONCE},
    ) as found:
        for row in found:
            try:
                request = _Event.model_validate_json(bytes(row.body)).data
            except ValidationError:
                continue
            if request.lead_id == lead_id:
                yield request, row.rank == 2, row.since


def spellings_of(lead_id: str) -> list[bytes]:
    """Return the spellings of an id in JSON: UTF-8 or escaped; some writers escape the slash."""
    escaped = json.dumps(lead_id)
    capitals = re.sub(r"(?<=\\u)[0-9a-f]{4}", lambda digits: digits[0].upper(), escaped)
    spellings = {json.dumps(lead_id, ensure_ascii=False), escaped, capitals}
    spellings |= {spelling.replace("/", "\\/") for spelling in spellings}
    return [spelling.encode() for spelling in sorted(spellings)]
