"""Operations of several calls, or with pauses between them, without I/O.

A flow is a generator. It yields a `Call` and gets its result, or its error thrown in; or it yields
a `Pause`. What it returns is the result. The clients run it (`_follow`).
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from billing_client.call import Call
from billing_client.calls import accounts, leads
from billing_client.errors import (
    AccountExists,
    AccountUnknown,
    InvalidRequest,
    LeadStillPending,
    LeadUnknown,
    ProductMismatch,
)
from billing_client.results import Account, LeadState, LeadStatus

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 3.0
LONGEST_WAIT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so long, then go on."""

    seconds: float


_T = TypeVar("_T")
Flow = Generator[Call[Any] | Pause, Any, _T]


def ensure_account(
    account: str,
    name: str,
    product: str,
    *,
    timezone: str | None,
    state_code: str | None,
    gstin: str | None,
    idempotency_key: str | None,
) -> Flow[Account]:
    """Find an account, or open it."""
    opening = accounts.create_account(
        account,
        name,
        product,
        timezone=timezone,
        overdraft_limit=None,
        low_balance=None,
        state_code=state_code,
        gstin=gstin,
        idempotency_key=idempotency_key,
    )
    finding = accounts.account(account)
    # Found first: mostly it is there, and a question leaves no row.
    try:
        found: Account = yield finding
    except AccountUnknown:
        try:
            found = yield opening
        except AccountExists as exists:
            # Opened by another one meanwhile; or it is out of this key's reach.
            try:
                found = yield finding
            except AccountUnknown:
                raise exists from None
    if found.product != product:
        raise ProductMismatch(account, found.product, product)
    return found


def wait_for_lead(lead_id: str, timeout_seconds: float) -> Flow[LeadStatus]:
    """Ask for a lead until it is not pending any more."""
    asking = leads.lead_status(lead_id)
    if isinstance(timeout_seconds, bool) or not isinstance(timeout_seconds, int | float):
        raise InvalidRequest(
            f"timeout_seconds: must be a number, not {type(timeout_seconds).__name__}"
        )
    if not 0 <= timeout_seconds <= LONGEST_WAIT_SECONDS:  # false for NaN too
        raise InvalidRequest(f"timeout_seconds: must be from 0 to {LONGEST_WAIT_SECONDS}")
    ends_at = time.monotonic() + timeout_seconds
    pause = FIRST_PAUSE_SECONDS
    status: LeadStatus | None = None
    while True:
        try:
            status = yield asking
        except LeadUnknown:
            pass  # its event is on its way, or it was never sent
        else:
            if status is not None and status.state != LeadState.PENDING:
                return status
        seconds_left = ends_at - time.monotonic()
        if seconds_left <= 0:
            error = LeadStillPending(lead_id, timeout_seconds)
            error.status = status
            raise error
        yield Pause(min(pause, seconds_left))
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
