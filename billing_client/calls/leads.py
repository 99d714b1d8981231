"""Leads: charging them at the receiver, and what became of them."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from billing_client.call import Call, Page, get, given, list_of, post, reader_of
from billing_client.checks import checked_account, checked_id, checked_key, checked_time
from billing_client.leads import checked
from billing_client.results import Accepted, LeadState, LeadStatus


def charge_lead(lead: Mapping[str, Any], idempotency_key: str | None) -> Call[Accepted]:
    """Send a signed event to the receiver; `lead` has the arguments of `charge_lead`."""
    fields = checked(lead)
    key = f"msg_{uuid4().hex}" if idempotency_key is None else checked_key(idempotency_key)
    # With `occurred_at` a repeated call is the same delivery, byte for byte.
    moment = fields.get("occurred_at") or datetime.fromtimestamp(time.time(), UTC).isoformat()
    return Call(
        method="POST",
        route="/webhooks/leads",
        fields={"type": "lead.created", "timestamp": moment, "data": fields},
        idempotency_key=key,
        about={"lead_id": fields["lead_id"], "account": fields["account"]},
        reader=lambda answer: Accepted(fields["lead_id"], key, seen_before=answer.status == 200),
        to="receiver",
    )


def submit_lead(lead: Mapping[str, Any], idempotency_key: str | None) -> Call[LeadStatus]:
    """Ask the API to charge a lead; `lead` has the arguments of `submit_lead`."""
    fields = checked(lead)
    return post(
        "/v1/leads",
        reader_of(LeadStatus),
        fields=fields,
        idempotency_key=idempotency_key,
        lead_id=fields["lead_id"],
        ref=fields["account"],
    )


def lead_status(lead_id: str) -> Call[LeadStatus]:
    """Return a lead and its state."""
    checked_id("lead_id", lead_id)
    return get("/v1/leads/{lead_id}", reader_of(LeadStatus), lead_id=lead_id)


def list_leads(
    account: str,
    *,
    state: LeadState | str | None,
    since: datetime | None,
    until: datetime | None,
) -> Call[Page[LeadStatus]]:
    """Return the leads of an account, newest first."""
    query = given(
        state=None if state is None else checked_id("state", state),
        since=None if since is None else checked_time("since", since),
        until=None if until is None else checked_time("until", until),
    )
    return list_of(
        "/v1/accounts/{ref}/leads",
        "leads",
        LeadStatus,
        query=query,
        ref=checked_account(account),
    )
