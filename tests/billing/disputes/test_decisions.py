"""What may be disputed, and what an approval gives back: decided without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.disputes import (
    DisputedBefore,
    DisputeOpen,
    DisputeWindowOver,
    LeadNotCharged,
    NothingToRefund,
)
from billing.disputes.decisions import Resolution, approval, check_disputable
from db.models import LeadCharge, LeadDispute
from errors import PermanentError

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
WINDOW = timedelta(days=30)
DISPUTE = LeadDispute(id=17, lead_id="L-1", state="pending")


def refusal(
    *, state: str = "charged", charged_at: datetime | None = NOW, earlier: str | None = None
) -> type[PermanentError] | None:
    """The type of the error for a lead in `state`; `earlier`: state of its earlier dispute."""
    lead = LeadCharge(lead_id="L-1", state=state)
    dispute = LeadDispute(id=17, lead_id="L-1", state=earlier) if earlier else None
    try:
        check_disputable(lead, earlier=dispute, charged_at=charged_at, window=WINDOW, now=NOW)
    except PermanentError as error:
        return type(error)
    return None


def test_a_charged_lead_can_be_disputed_to_the_last_moment_of_the_window() -> None:
    assert refusal() is None
    assert refusal(charged_at=NOW - WINDOW) is None
    assert refusal(charged_at=NOW - WINDOW - timedelta(microseconds=1)) is DisputeWindowOver


@pytest.mark.parametrize("state", ["parked", "cancelled", "refunded"])
def test_a_lead_in_another_state_cannot(state: str) -> None:
    assert refusal(state=state, charged_at=NOW if state == "refunded" else None) is LeadNotCharged


@pytest.mark.parametrize("earlier", ["approved", "partially_approved", "rejected"])
def test_an_earlier_dispute_is_reported_before_the_state_of_the_lead(earlier: str) -> None:
    assert refusal(earlier=earlier, state="refunded") is DisputedBefore
    assert refusal(earlier="pending", state="refunded") is DisputeOpen


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (None, Resolution("approved", 180)),
        (180, Resolution("approved", 180)),
        (179, Resolution("partially_approved", 179)),
        (1, Resolution("partially_approved", 1)),
    ],
)
def test_an_approval_is_partial_if_it_leaves_something(
    amount: int | None, expected: Resolution
) -> None:
    assert approval(DISPUTE, amount=amount, left=180) == expected


@pytest.mark.parametrize("amount", [None, 1])
def test_an_approval_needs_something_to_give_back(amount: int | None) -> None:
    with pytest.raises(NothingToRefund, match="reject or withdraw dispute 17"):
        approval(DISPUTE, amount=amount, left=0)
