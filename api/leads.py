"""`/v1/leads`: a lead to charge, and the state of one."""

from dataclasses import replace
from datetime import datetime
from http import HTTPMethod
from typing import Annotated, Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

import clock
from api import auth, idempotency
from api.accounts import AccountPath
from api.examples import UNKNOWN_ACCOUNT, UNKNOWN_ACCOUNT_IN_BODY, UNKNOWN_LEAD, Example
from api.fields import Id, Instant
from api.pages import PAGE, page_of
from api.problems import bad_field, unknown
from api.routes import route
from billing.leads import EventTime, LeadRequest, RecordedState, leads_of_account, status
from billing.leads.status import LeadStatus
from billing.text import ID_MAX_LENGTH, identity
from db.session import transaction
from tasks.leads import requests

leads = APIBlueprint("leads", __name__, url_prefix="/v1", abp_tags=[Tag(name="leads")])


class LeadPath(BaseModel):
    """The lead."""

    lead_id: Id = Field(
        description=f"the platform's id: at most {ID_MAX_LENGTH} characters, no control characters"
    )


class NewLead(LeadRequest):
    """A lead to charge, by the rules for leads of every door."""

    # Strict as the other doors; here a misspelt field can be refused at once.
    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, identity(ID_MAX_LENGTH)] | None = Field(
        default=None, description="where it came from, such as `google-ads`; only noted"
    )
    occurred_at: EventTime | None = Field(
        default=None, description="when it happened, with its zone; by default now"
    )


class Lead(BaseModel):
    """A lead and its state."""

    model_config = ConfigDict(from_attributes=True)

    lead_id: str
    account: str
    state: Literal["pending", "charged", "parked", "conflict", "refunded", "cancelled", "refused"]
    credits: int = Field(description="its price; zero for a conflict, which charges nothing")
    package_price_paise: int
    conflicts: int = Field(
        description="requests that do not match its account or price; the same one again is one"
    )
    occurred_at: datetime | None
    created_at: datetime | None = Field(description="when it was first charged or parked")
    updated_at: datetime
    reason: str | None = Field(description="why it is refused, or still pending, if known")


class LeadQuery(BaseModel):
    """Filters, by when a lead was first charged or parked, and the page of the list."""

    # A misspelt filter must be an error, not a list without that filter.
    model_config = ConfigDict(extra="forbid")

    state: RecordedState | None = Field(default=None, description="only leads in this state")
    since: Instant | None = Field(default=None, description="only leads of this time or later")
    until: Instant | None = Field(default=None, description="only leads before this time")
    after: Id | None = Field(default=None, description="`next` of the page before")


class Leads(BaseModel):
    """A page of leads, newest first."""

    leads: list[Lead]
    next: str | None = Field(description="`after` of the next page; null on the last page")


OTHERWISE_ON_RECORD = (
    "this request names another account or price than is on record: it will count as a conflict"
    " and take nothing"
)
"""The reason in an answer to a POST alone: until a worker has recorded the conflict."""


_CHARGED = {
    "lead_id": "L-17",
    "account": "clinic:42",
    "state": "charged",
    "credits": 250,
    "package_price_paise": 1_200_000,
    "conflicts": 0,
    "occurred_at": "2026-11-21T04:15:00Z",
    "created_at": "2026-11-21T04:15:02Z",
    "updated_at": "2026-11-21T04:15:02Z",
    "reason": None,
}


@route(
    leads,
    HTTPMethod.POST,
    "/leads",
    scope="leads:write",
    answers=Lead,
    status=202,
    refusals=(404,),
    example=Example(
        body={"lead_id": "L-17", "account": "clinic:42", "package_price_paise": 1_200_000},
        answer={
            "lead_id": "L-17",
            "account": "clinic:42",
            "state": "pending",
            "credits": 250,
            "package_price_paise": 1_200_000,
            "conflicts": 0,
            "occurred_at": None,
            "created_at": None,
            "updated_at": "2026-11-21T04:15:00Z",
            "reason": None,
        },
        refused=(UNKNOWN_ACCOUNT_IN_BODY,),
    ),
)
def create(body: NewLead) -> Lead:
    """Ask for a lead to be charged, once.

    The answer is the lead as it is known now: `pending` until a worker has charged it, or what is
    on record of it. However often a lead is sent, by whichever door, it is charged once.
    Its id is one for all accounts: the first one to be charged or parked has the lead, and a
    request that differs in account or price is a `conflict`, which takes nothing.
    """
    caller, now = auth.caller(), clock.now()
    with transaction() as session:
        auth.account_in_reach(session, body.account)
        known = status.find_on_record(
            session, body.lead_id, product=caller.product, account_id=caller.account_id
        )
        requests.record(
            session, body, event_id=idempotency.operation_key(), actor=caller.actor, at=now
        )
        lead = Lead.model_validate(
            status.pending(body, since=now) if known is None else _compared(known, body)
        )
        idempotency.keep(session, lead)
    requests.nudge()
    return lead


@route(
    leads,
    HTTPMethod.GET,
    "/leads/<any_id:lead_id>",
    scope="leads:read",
    answers=Lead,
    refusals=(404,),
    example=Example(
        path={"lead_id": "L-17"},
        answer=_CHARGED,
        refused=(UNKNOWN_LEAD,),
    ),
)
def show(path: LeadPath) -> Lead:
    """Show a lead and its state.

    A lead is known as soon as its event is accepted. A lead of an account out of the key's reach
    gets the same 404 as a lead that does not exist.
    """
    caller = auth.caller()
    with transaction() as session:
        found = status.find_status(
            session, path.lead_id, product=caller.product, account_id=caller.account_id
        )
    if found is None:
        raise unknown("lead")
    return Lead.model_validate(found)


@route(
    leads,
    HTTPMethod.GET,
    "/accounts/<ref>/leads",
    scope="leads:read",
    answers=Leads,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42"},
        query={"state": "charged", "since": "2026-11-01T00:00:00Z"},
        answer={"leads": [_CHARGED], "next": None},
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def of_account(path: AccountPath, query: LeadQuery) -> Leads:
    """List the leads of an account, 20 a page, newest first.

    They are those on record: charged, parked, refunded or cancelled. What is still pending, or was
    refused, is found by its id.
    """
    if query.since and query.until and query.until < query.since:
        raise bad_field("until", "must not be before since")
    caller = auth.caller()
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        found = leads_of_account(
            session,
            account,
            product=caller.product,
            account_id=caller.account_id,
            **query.model_dump(),
            limit=PAGE + 1,
        )
    page, more = page_of(found)
    return Leads(
        leads=[Lead.model_validate(lead) for lead in page],
        next=page[-1].lead_id if more else None,
    )


def _compared(known: LeadStatus, asked: NewLead) -> LeadStatus:
    """Return what is on record; with a reason if the request differs from it."""
    same = (known.account, known.package_price_paise) == (asked.account, asked.package_price_paise)
    return known if same else replace(known, reason=OTHERWISE_ON_RECORD)
