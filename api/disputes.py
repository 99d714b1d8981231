"""`/v1/disputes`: a clinic disputes a lead. Operators decide with `billing disputes`."""

from datetime import datetime
from http import HTTPMethod
from typing import Annotated, Any, Self

import structlog
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api import auth, idempotency
from api.accounts import AccountPath
from api.examples import UNKNOWN_ACCOUNT, UNKNOWN_ACCOUNT_IN_BODY, Example, Refused
from api.fields import Id, PageQuery, Ref
from api.pages import PAGE, page_of
from api.problems import unknown
from api.routes import route
from billing import disputes as rules
from billing.disputes import MAX_EVIDENCE_BYTES, DisputeState
from db.models import LeadDispute
from db.session import transaction
from tasks.operator_lines import created_line, write_to_log

log = structlog.get_logger()

disputes = APIBlueprint("disputes", __name__, url_prefix="/v1", abp_tags=[Tag(name="disputes")])

_UNKNOWN_DISPUTE = Refused(
    404, "unknown-dispute", "no dispute with this id is known", path={"dispute_id": "18"}
)


class DisputePath(BaseModel):
    """The dispute."""

    dispute_id: Annotated[
        int, Field(ge=1, le=2**63 - 1, description="ours, from the answer of POST /v1/disputes")
    ]


class DisputeQuery(PageQuery):
    """Filters; one that is left out does not limit the list."""

    state: DisputeState | None = Field(default=None, description="only disputes in this state")


class NewDispute(BaseModel):
    """A dispute to open."""

    model_config = ConfigDict(strict=True, extra="forbid")

    lead_id: Id
    account: Ref
    dispute_type: str = Field(
        description="wrong_number, duplicate, not_interested, outside_area, spam or other"
    )
    description: str = Field(description="what was wrong: up to 1,000 characters")
    evidence: Any = Field(
        default=None, description=f"the evidence, up to {MAX_EVIDENCE_BYTES} bytes of JSON"
    )


class Dispute(BaseModel):
    """A dispute and its state."""

    dispute_id: int
    lead_id: str
    account: str
    dispute_type: str
    description: str
    evidence: Any
    state: DisputeState
    created_at: datetime
    resolved_at: datetime | None
    notes: str | None = Field(description="the operator's notes on the decision")
    credits_refunded: int

    @classmethod
    def of(cls, row: LeadDispute, account: str) -> Self:
        """Return the answer for a row."""
        return cls.model_validate(
            {
                "dispute_id": row.id,
                "account": account,
                "dispute_type": row.type,
                **{name: getattr(row, name) for name in _SAME_NAMES},
            }
        )


_SAME_NAMES = Dispute.model_fields.keys() - {"dispute_id", "account", "dispute_type"}


class Disputes(BaseModel):
    """A page of disputes, newest first."""

    disputes: list[Dispute]
    next: str | None = Field(description="`after` of the next page; null on the last page")


_OPENED = {
    "dispute_id": 17,
    "lead_id": "L-17",
    "account": "clinic:42",
    "dispute_type": "wrong_number",
    "description": "The number is not in use.",
    "evidence": {
        "called_at": ["2026-11-21T10:05:00+05:30", "2026-11-21T17:40:00+05:30"],
    },
    "state": "pending",
    "created_at": "2026-11-21T12:30:00Z",
    "resolved_at": None,
    "notes": None,
    "credits_refunded": 0,
}


@route(
    disputes,
    HTTPMethod.POST,
    "/disputes",
    scope="disputes:write",
    answers=Dispute,
    status=201,
    refusals=(404,),
    example=Example(
        body={
            "lead_id": "L-17",
            "account": "clinic:42",
            "dispute_type": "wrong_number",
            "description": "The number is not in use.",
            "evidence": {"called_at": ["2026-11-21T10:05:00+05:30", "2026-11-21T17:40:00+05:30"]},
        },
        answer=_OPENED,
        refused=(
            Refused(409, "dispute-open", "lead 'L-17' is already disputed: dispute 17 is pending"),
            UNKNOWN_ACCOUNT_IN_BODY,
        ),
    ),
)
def create(body: NewDispute) -> Dispute:
    """Dispute a charged lead.

    A 409 says why that is not possible: `dispute-open`, `disputed-before`, `lead-not-charged` or
    `dispute-window-over`.
    """
    with transaction() as session:
        auth.account_in_reach(session, body.account)
        opened = rules.open_dispute(
            session,
            **body.model_dump(),
            request_key=idempotency.operation_key(),
            actor=auth.caller().actor,
        )
        dispute = Dispute.of(opened.dispute, body.account)
        idempotency.keep(session, dispute)
    if not opened.repeated:
        line = created_line(
            opened.dispute.id, dispute.lead_id, dispute.dispute_type, account=body.account
        )
        write_to_log([line])
    return dispute


@route(
    disputes,
    HTTPMethod.GET,
    "/disputes/<dispute_id>",
    scope="disputes:read",
    answers=Dispute,
    refusals=(404,),
    example=Example(path={"dispute_id": "17"}, answer=_OPENED, refused=(_UNKNOWN_DISPUTE,)),
)
def show(path: DisputePath) -> Dispute:
    """Show a dispute and its state."""
    with transaction() as session:
        return Dispute.of(*_in_reach(session, path.dispute_id))


@route(
    disputes,
    HTTPMethod.POST,
    "/disputes/<dispute_id>/withdraw",
    scope="disputes:write",
    answers=Dispute,
    refusals=(404,),
    example=Example(
        path={"dispute_id": "17"},
        answer={**_OPENED, "state": "withdrawn", "resolved_at": "2026-11-21T13:05:00Z"},
        refused=(
            Refused(
                409,
                "dispute-resolved",
                "dispute 17 is already withdrawn, by api-key:house: nothing was changed",
            ),
            _UNKNOWN_DISPUTE,
        ),
    ),
)
def withdraw(path: DisputePath) -> Dispute:
    """Withdraw a dispute. The lead may be disputed again until its window ends.

    If the dispute is already resolved, the answer is a 409 `dispute-resolved`.
    """
    with transaction() as session:
        _, account = _in_reach(session, path.dispute_id)
        done = rules.withdraw(session, path.dispute_id, actor=auth.caller().actor)
        dispute = Dispute.of(done, account)
        idempotency.keep(session, dispute)
    return dispute


@route(
    disputes,
    HTTPMethod.GET,
    "/accounts/<ref>/disputes",
    scope="disputes:read",
    answers=Disputes,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42"},
        query={"state": "pending"},
        answer={"disputes": [_OPENED], "next": None},
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def of_account(path: AccountPath, query: DisputeQuery) -> Disputes:
    """List the disputes of an account, 20 a page, newest first."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        found = rules.queries.of_account(
            session, account.id, state=query.state, before_id=query.after, limit=PAGE + 1
        )
    page, more = page_of(found)
    return Disputes(
        disputes=[Dispute.of(row, account.ref) for row in page],
        next=str(page[-1].id) if more else None,
    )


def _in_reach(session: Session, dispute_id: int) -> tuple[LeadDispute, str]:
    caller = auth.caller()
    found = rules.queries.find(
        session, dispute_id, product=caller.product, account_id=caller.account_id
    )
    if found is None:
        raise unknown("dispute")
    return found[0], found[1]
