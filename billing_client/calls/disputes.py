"""Disputes of leads; an operator decides them."""

from typing import Any

from billing_client.call import Call, Page, get, given, list_of, post, reader_of
from billing_client.checks import (
    checked_account,
    checked_id,
    checked_json,
    checked_number,
    checked_words,
)
from billing_client.results import Dispute, DisputeState, DisputeType

MAX_EVIDENCE_BYTES = 16 * 1024


def dispute_lead(
    lead_id: str,
    account: str,
    dispute_type: DisputeType | str,
    description: str,
    *,
    evidence: Any,
    idempotency_key: str | None,
) -> Call[Dispute]:
    """Dispute a charged lead."""
    fields = given(
        lead_id=checked_id("lead_id", lead_id),
        account=checked_account(account),
        dispute_type=checked_id("dispute_type", dispute_type),
        description=checked_words("description", description),
        evidence=None if evidence is None else checked_json(
            "evidence", evidence, MAX_EVIDENCE_BYTES
        ),
    )  # fmt: skip
    return post(
        "/v1/disputes",
        reader_of(Dispute),
        fields=fields,
        idempotency_key=idempotency_key,
        lead_id=lead_id,
        ref=account,
    )


def dispute_status(dispute_id: int) -> Call[Dispute]:
    """Return a dispute as it is now."""
    return get(
        "/v1/disputes/{dispute_id}",
        reader_of(Dispute),
        dispute_id=checked_number("dispute_id", dispute_id),
    )


def withdraw_dispute(dispute_id: int, *, idempotency_key: str | None) -> Call[Dispute]:
    """Take a pending dispute back."""
    return post(
        "/v1/disputes/{dispute_id}/withdraw",
        reader_of(Dispute),
        fields={},
        idempotency_key=idempotency_key,
        dispute_id=checked_number("dispute_id", dispute_id),
    )


def list_disputes(account: str, *, state: DisputeState | str | None) -> Call[Page[Dispute]]:
    """Return the disputes of an account, newest first."""
    return list_of(
        "/v1/accounts/{ref}/disputes",
        "disputes",
        Dispute,
        query=given(state=None if state is None else checked_id("state", state)),
        ref=checked_account(account),
    )
