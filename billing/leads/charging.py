"""Lead billing: what a patient lead costs, and charging it once. Both doors lead here.

`charge_leads` is called by the handler of both doors' events in `tasks/`. Each lead has one row in
`lead_charges`: charged, or parked because the account could not pay; `billing/leads/parking.py`
releases it then, `billing/credit/reversals.py` makes it refunded.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.errors import IdempotencyConflict
from billing.leads import lead_rows
from billing.leads.cases import Case, classify_all
from billing.leads.request import LeadRequest, LeadResult
from billing.ledger import Kind, Posting, post
from db.bulk import text_array
from db.models import Account, LeadCharge, LeadConflict


def find(session: Session, lead_id: str) -> LeadCharge | None:
    """Return the charge of a lead, or None where the lead is not known."""
    return session.get(LeadCharge, lead_id)


def conflicts(session: Session, *, limit: int) -> Sequence[Row[LeadConflict, str]]:
    """Return the newest requests that were at odds with the record, and their accounts."""
    query = (
        select(LeadConflict, Account.ref)
        .join(Account, Account.id == LeadConflict.account_id)
        .order_by(LeadConflict.id.desc())
        .limit(limit)
    )
    return session.execute(query).all()


def newest(session: Session, *, state: str | None, limit: int) -> Sequence[Row[LeadCharge, str]]:
    """Return the newest leads with their account's reference, of one state where given."""
    query = (
        select(LeadCharge, Account.ref)
        .join(Account, Account.id == LeadCharge.account_id)
        .order_by(LeadCharge.created_at.desc(), LeadCharge.lead_id)
        .limit(limit)
    )
    if state is not None:
        query = query.where(LeadCharge.state == state)
    return session.execute(query).all()


def charge_leads(
    session: Session, requests: Sequence[LeadRequest], *, actor: str
) -> list[LeadResult]:
    """Charge each lead once and return one result for each request, in the same order.

    The same lead again with the same account and package price is `repeated`, or as parked or
    cancelled as it is; with another, it is refused with `IdempotencyConflict`, whichever of the
    two comes first. A lead that the account cannot pay is parked, or charged as debt if the catalog
    says so for the account's product. While parked leads of the account are about to be released,
    new ones wait behind them. Posts once; the caller's transaction holds it all together.
    """
    cases = _classified(session, requests)
    charges = [case for case in cases if case.is_charge]
    _post(session, charges, actor=actor)
    now = clock.now()
    lead_rows.write(session, [row for case in charges if (row := case.new_row())], now=now)
    results = [case.final_result() for case in cases]
    refused = [
        (request, result.error)
        for request, result in zip(requests, results, strict=True)
        if result.error is not None
    ]
    lead_rows.write_refused(session, refused, actor=actor, now=now)
    return results


def _classified(session: Session, requests: Sequence[LeadRequest]) -> list[Case]:
    lead_ids = {request.lead_id for request in requests}
    recorded = lead_rows.recorded(session, lead_ids)
    # Looked up only if a lead comes twice: a lead of an unknown account leaves no trace, so it
    # must not stand in the way of its correction in the same batch.
    known = _known_accounts(session, requests) if len(lead_ids) < len(requests) else None
    tiers = catalog.get().lead_pricing.tiers
    return classify_all(requests, recorded=recorded, known_accounts=known, tiers=tiers)


def _post(session: Session, charges: Sequence[Case], *, actor: str) -> None:
    """Settle the charges: post them, or park those whose account has others to release first."""
    never_parked = _never_parked(session, charges)
    waiting = lead_rows.lock_due(session, {case.request.account for case in charges})
    for case in charges:
        if case.request.account in waiting:
            case.wait_behind_parked(waiting[case.request.account])
    to_post = [case for case in charges if case.is_charge]
    posted = post(
        session,
        [
            posting(
                lead_id=case.request.lead_id,
                account=case.request.account,
                package_price_paise=case.request.package_price_paise,
                price=case.price_credits,
                occurred_at=case.request.occurred_at,
                actor=actor,
                passes_overdraft_limit=case.request.account in never_parked,
            )
            for case in to_post
        ],
    )
    # Somebody charged these leads while we waited for the lock: their rows are there by now.
    late = [
        case.request.lead_id
        for case, result in zip(to_post, posted, strict=True)
        if isinstance(result.error, IdempotencyConflict)
    ]
    recorded = lead_rows.recorded(session, late) if late else {}
    for case, result in zip(to_post, posted, strict=True):
        case.settle(result, recorded.get(case.request.lead_id))


def posting(
    *,
    lead_id: str,
    account: str,
    package_price_paise: int,
    price: int,
    occurred_at: datetime | None,
    actor: str,
    passes_overdraft_limit: bool = False,
) -> Posting:
    """Return the charge of a lead, `price` in credits; the same whenever it is charged."""
    return Posting(
        account=account,
        amount=-price,
        kind=Kind.LEAD_CHARGE,
        idempotency_key=f"lead:{lead_id}:charge",
        actor=actor,
        # The package value is part of what the key stands for: two packages can cost the same.
        description=f"Lead {lead_id}, package of {package_price_paise} paise",
        lead_id=lead_id,
        event_at=occurred_at,
        passes_overdraft_limit=passes_overdraft_limit,
    )


_KNOWN = text("SELECT ref FROM accounts WHERE ref = ANY(CAST(:refs AS text[]))")
_OF_PRODUCTS = text("""
SELECT ref FROM accounts
 WHERE ref = ANY(CAST(:refs AS text[])) AND product = ANY(CAST(:products AS text[]))
""")


def _known_accounts(session: Session, requests: Sequence[LeadRequest]) -> set[str]:
    refs = text_array({request.account for request in requests})
    return set(session.scalars(_KNOWN, {"refs": refs}))


def never_parking_products() -> list[str]:
    """Return the products whose leads are charged as debt where there is no credit."""
    return [
        name
        for name, product in catalog.get().products.items()
        if product.leads_without_credit == "charge"
    ]


def _never_parked(session: Session, charges: Sequence[Case]) -> set[str]:
    products = never_parking_products()
    if not products:
        return set()
    refs = text_array({case.request.account for case in charges})
    return set(session.scalars(_OF_PRODUCTS, {"refs": refs, "products": text_array(products)}))
