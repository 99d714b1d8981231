"""Lead billing: what a patient lead costs, and charging it once. Both doors lead here.

`charge_leads` is called by the handler of both doors' events in `tasks/`. Each lead has one row in
`lead_charges`: charged, or parked because the account could not pay; `billing/leads/parking.py`
releases it then, `billing/credit/reversals.py` makes it refunded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.errors import IdempotencyConflict, UnknownAccount
from billing.leads import lead_rows
from billing.leads.lead_rows import NewRow, Recorded
from billing.leads.pricing import lead_price_credits
from billing.ledger import InsufficientCredit, Kind, Outcome, Posting, PostingResult, post
from billing.text import ID_MAX_LENGTH, REF_MAX_LENGTH, problem_with
from db.bulk import text_array
from db.models import Account, LeadCharge, LeadConflict
from errors import PermanentError

MAX_PRICE_PAISE = 2**53 - 1
"""Largest whole number that every JSON reader keeps exact."""


def _recordable(value: str) -> str:
    problem = problem_with(value, max_length=ID_MAX_LENGTH)
    if problem:
        raise ValueError(problem)
    return value


def _plausible(value: datetime) -> datetime:
    if not 2000 <= value.year <= 2100:
        raise ValueError("must be in the years 2000 to 2100")
    return value


_Text = Annotated[str, Field(max_length=ID_MAX_LENGTH), AfterValidator(_recordable)]
EventTime = Annotated[AwareDatetime, AfterValidator(_plausible)]
"""An ISO 8601 time with its offset, of this century."""


class LeadRequest(BaseModel):
    """A lead to bill, as a platform asks for it. Strict: no number in quotes, no fraction."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    lead_id: _Text
    account: Annotated[_Text, Field(max_length=REF_MAX_LENGTH)]
    package_price_paise: Annotated[int, Field(ge=0, le=MAX_PRICE_PAISE)]
    source: _Text | None = None
    """Where the lead came from, such as `google-ads`."""
    occurred_at: EventTime | None = None

    def happened_at(self, moment: datetime) -> "LeadRequest":
        """Return this request, which happened at `moment` where it does not say."""
        if self.occurred_at is not None:
            return self
        # Not model_copy, which costs more than reading the body did: every field is valid.
        return LeadRequest.model_construct(**{**self.__dict__, "occurred_at": moment})


class LeadState(StrEnum):
    """What became of the request to charge a lead."""

    CHARGED = "charged"
    REPEATED = "repeated"
    """The lead was charged before, for the same account and package; nothing was taken now."""
    INSUFFICIENT_CREDIT = "insufficient_credit"
    """The lead is parked, now or since an earlier request; nothing was taken."""
    CANCELLED = "cancelled"
    """An operator cancelled the parked lead; nothing was taken."""
    REFUSED = "refused"
    """An unknown account, or an `IdempotencyConflict`; `error` tells."""


@dataclass(frozen=True, slots=True)
class LeadResult:
    """What became of one request; `credits` is the price of the lead."""

    state: LeadState
    account: str
    credits: int
    error: PermanentError | None = None


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
    cancelled as it is; with another, refused with `IdempotencyConflict`, whichever of the two is
    tried first. A lead that the account cannot pay is parked, or charged as debt where the
    catalog says so for the account's product; and where parked leads are about to be released,
    those that come now wait behind them. Posts once; the caller's transaction holds it all
    together.
    """
    lead_ids = {request.lead_id for request in requests}
    recorded = lead_rows.recorded(session, lead_ids)
    # Looked up only where a lead comes twice: one of an unknown account leaves no trace, so that
    # it must not stand in the way of its correction in the same batch.
    known = _known_accounts(session, requests) if len(lead_ids) < len(requests) else None
    results: list[LeadResult | None] = [None] * len(requests)
    first_with: dict[str, int] = {}
    to_post: list[int] = []
    for i, request in enumerate(requests):
        before = recorded.get(request.lead_id)
        if before is None and request.lead_id in first_with:
            first = requests[first_with[request.lead_id]]
            before = Recorded(first.lead_id, first.account, first.package_price_paise, 0, "asked")
        conflict = before and _conflict(before, request)
        if conflict:
            results[i] = _refused(request, conflict)
        elif before is not None and before.state in _ON_RECORD:
            results[i] = LeadResult(_ON_RECORD[before.state], request.account, before.credits)
        elif known is not None and request.account not in known:
            results[i] = _refused(request, UnknownAccount(request.account))
        elif request.lead_id not in first_with:
            first_with[request.lead_id] = i
            to_post.append(i)

    postings = _postings(session, [requests[i] for i in to_post], actor)
    posted = _post(session, postings)
    rows: list[NewRow] = []
    for i, posting, result in zip(to_post, postings, posted, strict=True):
        request, price = requests[i], -posting.amount
        found = results[i] = _lead_result(session, request, price, result)
        state = _row_state(found)
        if state and request.lead_id not in recorded:
            rows.append(NewRow(request.lead_id, result.account_id, request.account,
                               request.package_price_paise, price, state,
                               result.transaction_id or None, request.source,
                               request.occurred_at))  # fmt: skip
    lead_rows.write(session, rows, now=clock.now())
    done = [
        result or _as_repeat(results[first_with[request.lead_id]])
        for request, result in zip(requests, results, strict=True)
    ]
    refused = [
        (request.lead_id, request.account, request.package_price_paise, result.error)
        for request, result in zip(requests, done, strict=True)
        if result.error is not None
    ]
    lead_rows.write_refused(session, refused, actor=actor, now=clock.now())
    return done


def _post(session: Session, postings: Sequence[Posting]) -> list[PostingResult]:
    """Post the charges but those of accounts whose parked leads come first."""
    waiting = lead_rows.lock_due(session, {posting.account for posting in postings})
    posted = iter(post(session, [p for p in postings if p.account not in waiting]))
    return [
        next(posted)
        if p.account not in waiting
        else PostingResult(
            Outcome.REFUSED,
            account_id=waiting[p.account],
            error=InsufficientCredit(p.account, needed=-p.amount, available=0),
        )
        for p in postings
    ]


_ON_RECORD = {
    "charged": LeadState.REPEATED,
    "refunded": LeadState.REPEATED,
    "parked": LeadState.INSUFFICIENT_CREDIT,
    "cancelled": LeadState.CANCELLED,
}
"""State of a lead's row -> what the same request is told."""


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


def _postings(session: Session, requests: Sequence[LeadRequest], actor: str) -> list[Posting]:
    tiers = catalog.get().lead_pricing.tiers
    never_parked = _never_parked(session, requests)
    return [
        posting(
            lead_id=request.lead_id,
            account=request.account,
            package_price_paise=request.package_price_paise,
            price=lead_price_credits(request.package_price_paise, tiers),
            occurred_at=request.occurred_at,
            actor=actor,
            passes_overdraft_limit=request.account in never_parked,
        )
        for request in requests
    ]


def never_parking_products() -> list[str]:
    """Return the products whose leads are charged as debt where there is no credit."""
    return [
        name
        for name, product in catalog.get().products.items()
        if product.leads_without_credit == "charge"
    ]


def _never_parked(session: Session, requests: Sequence[LeadRequest]) -> set[str]:
    products = never_parking_products()
    if not products:
        return set()
    refs = text_array({request.account for request in requests})
    return set(session.scalars(_OF_PRODUCTS, {"refs": refs, "products": text_array(products)}))


def _conflict(before: Recorded, request: LeadRequest) -> IdempotencyConflict | None:
    differences: dict[str, tuple[object, object]] = {}
    if before.account != request.account:
        differences["account"] = (before.account, request.account)
    if before.package_price_paise != request.package_price_paise:
        differences["package_price_paise"] = (
            before.package_price_paise,
            request.package_price_paise,
        )
    return IdempotencyConflict(f"lead {before.lead_id}", differences) if differences else None


def _lead_result(
    session: Session, request: LeadRequest, price: int, posted: PostingResult
) -> LeadResult:
    if posted.outcome is Outcome.APPLIED:
        return LeadResult(LeadState.CHARGED, request.account, price)
    if posted.outcome is Outcome.REPEATED:
        return LeadResult(LeadState.REPEATED, request.account, price)
    if isinstance(posted.error, InsufficientCredit):
        return LeadResult(LeadState.INSUFFICIENT_CREDIT, request.account, price)
    if isinstance(posted.error, IdempotencyConflict):
        # Somebody charged the lead while we waited for the lock. Its row is there by now and
        # names the fields as the sender knows them.
        before = lead_rows.recorded(session, [request.lead_id]).get(request.lead_id)
        conflict = before and _conflict(before, request)
        if conflict:
            return _refused(request, conflict)
    assert posted.error is not None  # noqa: S101 - a refused result always carries its error
    return _refused(request, posted.error)


def _row_state(result: LeadResult) -> str | None:
    """Return the state of the row that a result leaves; None: it leaves none."""
    match result.state:
        case LeadState.CHARGED:
            return "charged"
        case LeadState.INSUFFICIENT_CREDIT:
            return "parked"
    return None


def _refused(request: LeadRequest, error: PermanentError) -> LeadResult:
    return LeadResult(LeadState.REFUSED, request.account, 0, error)


def _as_repeat(first: LeadResult | None) -> LeadResult:
    """Return what a second request in one batch is told, given the first one's result."""
    assert first is not None  # noqa: S101 - the first of a lead is always posted
    if first.state is LeadState.CHARGED:
        return LeadResult(LeadState.REPEATED, first.account, first.credits)
    return first
