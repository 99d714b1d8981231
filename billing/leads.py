"""Lead billing: what a patient lead costs, and charging it once. Both doors lead here.

`charge_leads` is called by the webhook's handler in `tasks/`; each lead ends with one row in
`lead_charges`: charged, or parked because the account could not pay.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.errors import IdempotencyConflict, InsufficientCredit, UnknownAccount
from billing.kinds import Kind
from billing.ledger import post
from billing.postings import Outcome, Posting, PostingResult
from billing.pricing import lead_price_credits
from billing.text import ID_MAX_LENGTH, REF_MAX_LENGTH, problem_with
from db.bulk import copy_rows, int_array, text_array
from db.errors import PermanentError
from db.models import Account, LeadCharge

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
    """The lead is parked; nothing was taken."""
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

    The same lead again with the same account and package price is `repeated`; with another,
    refused with `IdempotencyConflict`, whichever of the two is tried first. A parked lead that
    is sent again is tried again. Posts once; the caller's transaction holds it all together.
    """
    lead_ids = {request.lead_id for request in requests}
    recorded = _recorded(session, lead_ids)
    # Looked up only where a lead comes twice: one of an unknown account leaves no trace, so that
    # it must not stand in the way of its correction in the same batch.
    known = _known_accounts(session, requests) if len(lead_ids) < len(requests) else None
    results: list[LeadResult | None] = [None] * len(requests)
    first_with: dict[str, int] = {}
    to_post: list[int] = []
    for i, request in enumerate(requests):
        before = recorded.get(request.lead_id)
        if before is None and request.lead_id in first_with:
            before = _Recorded.of(requests[first_with[request.lead_id]])
        conflict = before and before.conflict_with(request)
        if conflict:
            results[i] = _refused(request, conflict)
        elif before is not None and before.charged:
            results[i] = LeadResult(LeadState.REPEATED, request.account, before.credits)
        elif known is not None and request.account not in known:
            results[i] = _refused(request, UnknownAccount(request.account))
        elif request.lead_id not in first_with:
            first_with[request.lead_id] = i
            to_post.append(i)

    postings = [_posting(requests[i], actor) for i in to_post]
    posted = post(session, postings)
    for i, posting, result in zip(to_post, postings, posted, strict=True):
        results[i] = _lead_result(session, requests[i], -posting.amount, result)
    done = [(requests[i], p, r) for i, p, r in zip(to_post, postings, posted, strict=True)]
    _record(session, done, recorded)

    return [
        result or _as_repeat(results[first_with[request.lead_id]])
        for request, result in zip(requests, results, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What is on record of a lead, from `lead_charges` or from earlier in the same batch."""

    lead_id: str
    account: str
    package_price_paise: int
    credits: int
    charged: bool

    @classmethod
    def of(cls, request: LeadRequest) -> "_Recorded":
        return cls(request.lead_id, request.account, request.package_price_paise, 0, charged=False)

    def conflict_with(self, request: LeadRequest) -> IdempotencyConflict | None:
        differences: dict[str, tuple[object, object]] = {}
        if self.account != request.account:
            differences["account"] = (self.account, request.account)
        if self.package_price_paise != request.package_price_paise:
            differences["package_price_paise"] = (
                self.package_price_paise,
                request.package_price_paise,
            )
        return IdempotencyConflict(f"lead {self.lead_id}", differences) if differences else None


_RECORDED = text("""
SELECT l.lead_id, a.ref, l.package_price_paise, l.credits, l.state <> 'parked'
  FROM lead_charges l JOIN accounts a ON a.id = l.account_id
 WHERE l.lead_id = ANY(CAST(:ids AS text[]))
""")


_KNOWN = text("SELECT ref FROM accounts WHERE ref = ANY(CAST(:refs AS text[]))")


def _known_accounts(session: Session, requests: Sequence[LeadRequest]) -> set[str]:
    refs = text_array({request.account for request in requests})
    return set(session.scalars(_KNOWN, {"refs": refs}))


def _recorded(session: Session, lead_ids: Iterable[str]) -> dict[str, _Recorded]:
    rows = session.execute(_RECORDED, {"ids": text_array(lead_ids)})
    return {row[0]: _Recorded(*row) for row in rows}


def _posting(request: LeadRequest, actor: str) -> Posting:
    credits_ = lead_price_credits(request.package_price_paise, catalog.get().lead_pricing.tiers)
    return Posting(
        account=request.account,
        amount=-credits_,
        kind=Kind.LEAD_CHARGE,
        idempotency_key=f"lead:{request.lead_id}:charge",
        actor=actor,
        # The package value is part of what the key stands for: two packages can cost the same.
        description=f"Lead {request.lead_id}, package of {request.package_price_paise} paise",
        lead_id=request.lead_id,
        event_at=request.occurred_at,
    )


def _lead_result(
    session: Session, request: LeadRequest, credits_: int, posted: PostingResult
) -> LeadResult:
    if posted.outcome is Outcome.APPLIED:
        return LeadResult(LeadState.CHARGED, request.account, credits_)
    if posted.outcome is Outcome.REPEATED:
        return LeadResult(LeadState.REPEATED, request.account, credits_)
    if isinstance(posted.error, InsufficientCredit):
        return LeadResult(LeadState.INSUFFICIENT_CREDIT, request.account, credits_)
    if isinstance(posted.error, IdempotencyConflict):
        # Somebody charged the lead while we waited for the lock. Its row is there by now and
        # names the fields as the sender knows them.
        before = _recorded(session, [request.lead_id]).get(request.lead_id)
        conflict = before and before.conflict_with(request)
        if conflict:
            return _refused(request, conflict)
    assert posted.error is not None  # noqa: S101 - a refused result always carries its error
    return _refused(request, posted.error)


def _refused(request: LeadRequest, error: PermanentError) -> LeadResult:
    return LeadResult(LeadState.REFUSED, request.account, 0, error)


def _as_repeat(first: LeadResult | None) -> LeadResult:
    """Return what a second request in one batch is told, given the first one's result."""
    assert first is not None  # noqa: S101 - the first of a lead is always posted
    if first.state is LeadState.CHARGED:
        return LeadResult(LeadState.REPEATED, first.account, first.credits)
    return first


_COLUMNS = (
    "lead_id", "account_id", "package_price_paise", "credits", "state", "transaction_id",
    "source", "occurred_at", "created_at", "updated_at",
)  # fmt: skip
_UNPARK = text("""
UPDATE lead_charges l SET state = 'charged', transaction_id = n.id, updated_at = :now
  FROM unnest(CAST(:leads AS text[]), CAST(:ids AS bigint[])) AS n(lead_id, id)
 WHERE l.lead_id = n.lead_id AND l.state = 'parked'
""")


def _record(
    session: Session,
    posted: list[tuple[LeadRequest, Posting, PostingResult]],
    recorded: dict[str, _Recorded],
) -> None:
    """Write the rows of newly charged and newly parked leads; charge those parked before.

    Two transactions that park one lead at once collide on its primary key; one is tried again.
    """
    now = clock.now()
    kept = [
        entry
        for entry in posted
        if entry[2].outcome is Outcome.APPLIED or isinstance(entry[2].error, InsufficientCredit)
    ]
    fresh = [entry for entry in kept if entry[0].lead_id not in recorded]
    if fresh:
        rows = [
            (
                request.lead_id,
                result.account_id,
                request.package_price_paise,
                -posting.amount,
                "parked" if result.error else "charged",
                result.transaction_id or None,
                request.source,
                request.occurred_at or now,
                now,
                now,
            )
            for request, posting, result in fresh
        ]
        copy_rows(session, "lead_charges", _COLUMNS, sorted(rows, key=lambda row: str(row[0])))
    unparked = [
        (request.lead_id, result.transaction_id)
        for request, _, result in kept
        if request.lead_id in recorded and result.error is None
    ]
    if unparked:
        session.execute(
            _UNPARK,
            {
                "leads": text_array(lead_id for lead_id, _ in unparked),
                "ids": int_array(id_ for _, id_ in unparked),
                "now": now,
            },
        )
