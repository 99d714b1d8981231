"""Leads that are charged, parked and released, for the tests of every area that touches them."""

from billing.leads import LeadRequest, LeadResult, LeadState, charge_leads, parking
from db.session import transaction
from tests.billing.given import rows

RS_6000 = 600_000
"""A package whose lead costs 180 credits."""
CHEAP, MIDDLE, DEAR = 100_000, 1_000_000, 10_000_000
"""Packages of leads that cost 100, 250 and 500 credits."""


def lead(
    lead_id: str = "L-1", *, account: str = "clinic:42", price: int = RS_6000, **more: object
) -> LeadRequest:
    """A request for a lead, not sent yet."""
    fields = {"lead_id": lead_id, "account": account, "package_price_paise": price, **more}
    return LeadRequest.model_validate(fields)


def charge(*requests: LeadRequest) -> list[LeadResult]:
    """Send requests in one batch; what became of each."""
    with transaction() as session:
        return charge_leads(session, requests, actor="test")


def park(*leads: tuple[str, int], account: str = "clinic:42") -> list[LeadState]:
    """Send leads (id, package price) in one batch; the state of each result."""
    requests = [lead(lead_id, account=account, price=price) for lead_id, price in leads]
    return [result.state for result in charge(*requests)]


def release_due(limit: int = 500) -> list[str]:
    """Release the parked leads that are covered, in one batch; their ids."""
    with transaction() as session:
        return [released.lead_id for released in parking.release_due(session, limit=limit)]


def states() -> dict[object, object]:
    """The state of every lead on record, by id."""
    return dict(rows("SELECT lead_id, state FROM lead_charges ORDER BY lead_id"))  # type: ignore[arg-type]
