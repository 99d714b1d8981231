"""The posting that charges a lead, and the products that charge without credit.

Used by `billing/leads/charging.py` and `billing/leads/parking.py`: a lead is charged by the same
posting whenever it is charged.
"""

from datetime import datetime

from billing import catalog
from billing.ledger import Kind, Posting


def charge_posting(
    *,
    lead_id: str,
    account: str,
    package_price_paise: int,
    price_credits: int,
    occurred_at: datetime | None,
    actor: str,
    passes_overdraft_limit: bool,
    request_id: str | None,
) -> Posting:
    """Return the posting that takes `price_credits` for a lead."""
    return Posting(
        account=account,
        amount=-price_credits,
        kind=Kind.LEAD_CHARGE,
        idempotency_key=f"lead:{lead_id}:charge",
        actor=actor,
        # The package price is part of what the key stands for: two packages can cost the same.
        description=f"Lead {lead_id}, package of {package_price_paise} paise",
        lead_id=lead_id,
        event_at=occurred_at,
        passes_overdraft_limit=passes_overdraft_limit,
        request_id=request_id,
    )


def products_without_parking() -> list[str]:
    """Return the products whose leads are charged as debt if there is no credit."""
    return [
        name
        for name, product in catalog.get().products.items()
        if product.leads_without_credit == "charge"
    ]
