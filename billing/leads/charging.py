"""Charging leads once each: classify the requests of a batch, post the charges, record both.

The handler of all doors' events in `tasks/` calls `charge_leads`. Each lead has one row in
`lead_charges`: charged, or parked because the account could not pay. Later
`billing/leads/parking.py` releases or cancels it, and `billing/credit/reversals.py` makes it
refunded.
"""

from collections.abc import Sequence
from itertools import repeat

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.errors import IdempotencyConflict
from billing.leads import coverage, lead_statements, refusals
from billing.leads.cases import Case, classify_all
from billing.leads.charge_posting import charge_posting, products_without_parking
from billing.leads.refusals import Refused
from billing.leads.request import LeadRequest, LeadResult
from billing.ledger import Posting, post
from db.bulk import text_array
from service.request_ids import current


def charge_leads(
    session: Session,
    requests: Sequence[LeadRequest],
    *,
    actor: str | Sequence[str],
    request_ids: Sequence[str | None] = (),
) -> list[LeadResult]:
    """Charge each lead once and return one result for each request, in the same order.

    `request_ids` name the HTTP request behind each, for a batch of many; else they are all of the
    current one.

    The same lead again with the same account and package price is `repeated`, or as parked or
    cancelled as it is; with another, it is refused with `IdempotencyConflict`, whichever of the
    two comes first. A lead that the account cannot pay is parked, or charged as debt if the catalog
    says so for the account's product. While parked leads of the account are about to be released,
    new ones wait behind them. `actor` asks for all of them, or each of a sequence for its own.
    Posts once; the caller's transaction holds it all together.
    """
    actors = [actor] * len(requests) if isinstance(actor, str) else actor
    cases = _classify(session, requests, actors)
    for case, request_id in zip(cases, request_ids or repeat(current()), strict=False):
        case.request_id = request_id
    charges = [case for case in cases if case.is_charge]
    _settle(session, charges)
    now = clock.now()
    lead_statements.insert(session, [row for case in charges if (row := case.new_lead())], now=now)
    results = [case.final_result() for case in cases]
    refused = [
        Refused(case.request, case.actor, result.error, case.request_id)
        for case, result in zip(cases, results, strict=True)
        if result.error is not None
    ]
    refusals.record(session, refused, now=now)
    return results


def _classify(
    session: Session, requests: Sequence[LeadRequest], actors: Sequence[str]
) -> list[Case]:
    lead_ids = {request.lead_id for request in requests}
    recorded = lead_statements.recorded_leads(session, lead_ids)
    # Looked up only if a lead comes twice: a lead of an unknown account leaves no trace, so it
    # must not stand in the way of its correction in the same batch.
    known = _known_accounts(session, requests) if len(lead_ids) < len(requests) else None
    tiers = catalog.get().lead_pricing.tiers
    cases = classify_all(requests, recorded=recorded, known_accounts=known, tiers=tiers)
    for case, actor in zip(cases, actors, strict=True):
        case.actor = actor
    return cases


def _settle(session: Session, charges: Sequence[Case]) -> None:
    """Post the charges; park those of accounts whose parked leads come first."""
    without_parking = _accounts_without_parking(session, charges)
    covered = coverage.lock_covered(session, {case.request.account for case in charges})
    for case in charges:
        if case.request.account in covered:
            case.wait_behind_parked(covered[case.request.account])
    to_post = [case for case in charges if case.is_charge]
    posted = post(session, [_posting(case, without_parking) for case in to_post])
    # Somebody charged these leads while we waited for the lock: their rows are there by now.
    late = [
        case.request.lead_id
        for case, result in zip(to_post, posted, strict=True)
        if isinstance(result.error, IdempotencyConflict)
    ]
    recorded = lead_statements.recorded_leads(session, late) if late else {}
    for case, result in zip(to_post, posted, strict=True):
        case.settle(result, recorded.get(case.request.lead_id))


def _posting(case: Case, without_parking: set[str]) -> Posting:
    request = case.request
    return charge_posting(
        lead_id=request.lead_id,
        account=request.account,
        package_price_paise=request.package_price_paise,
        price_credits=case.price_credits,
        occurred_at=request.occurred_at,
        actor=case.actor,
        passes_overdraft_limit=request.account in without_parking,
        request_id=case.request_id,
    )


_KNOWN = text("SELECT ref FROM accounts WHERE ref = ANY(CAST(:refs AS text[]))")
_OF_PRODUCTS = text("""
SELECT ref FROM accounts
 WHERE ref = ANY(CAST(:refs AS text[])) AND product = ANY(CAST(:products AS text[]))
""")


def _known_accounts(session: Session, requests: Sequence[LeadRequest]) -> set[str]:
    refs = text_array({request.account for request in requests})
    return set(session.scalars(_KNOWN, {"refs": refs}))


def _accounts_without_parking(session: Session, charges: Sequence[Case]) -> set[str]:
    products = products_without_parking()
    if not products:
        return set()
    refs = text_array({case.request.account for case in charges})
    return set(session.scalars(_OF_PRODUCTS, {"refs": refs, "products": text_array(products)}))
