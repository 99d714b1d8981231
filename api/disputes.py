"""`/v1/disputes`: a clinic says that a lead was bad. Operators decide, by the command."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPMethod
from typing import Annotated, Any, Self

import structlog
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api import auth, idempotency
from api.account_lists import PAGE, page_of
from api.accounts import AccountPath
from api.fields import Id, PageQuery, Ref
from api.problems import Refusal, bad_field
from api.routes import route
from billing import disputes as rules
from billing.disputes import (
    MAX_EVIDENCE_BYTES,
    DisputedBefore,
    DisputeOpen,
    DisputeResolved,
    DisputeState,
    DisputeWindowOver,
    InvalidDispute,
    LeadNotCharged,
)
from billing.disputes import queries as dispute_reading
from billing.leads import UnknownLead
from db.models import LeadDispute
from db.session import transaction
from errors import PermanentError
from tasks.operator_lines import created_line

log = structlog.get_logger()

disputes = APIBlueprint("disputes", __name__, url_prefix="/v1", abp_tags=[Tag(name="disputes")])


class DisputePath(BaseModel):
    """Which dispute."""

    dispute_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


class DisputeQuery(PageQuery):
    """Which disputes; what is left out limits nothing."""

    state: DisputeState | None = None


class NewDispute(BaseModel):
    """A lead that was bad."""

    model_config = ConfigDict(strict=True, extra="forbid")

    lead_id: Id
    account: Ref
    dispute_type: str = Field(
        description="wrong_number, duplicate, not_interested, outside_area, spam or other"
    )
    description: str = Field(description="what was wrong: up to 1,000 characters")
    evidence: Any = Field(
        default=None, description=f"whatever proves it, up to {MAX_EVIDENCE_BYTES} bytes of JSON"
    )


class Dispute(BaseModel):
    """A dispute and what became of it."""

    dispute_id: int
    lead_id: str
    account: str
    dispute_type: str
    description: str
    evidence: Any
    state: DisputeState
    created_at: datetime
    resolved_at: datetime | None
    notes: str | None = Field(description="what was said when it was resolved")
    credits_refunded: int

    @classmethod
    def of(cls, row: LeadDispute, account: str) -> Self:
        """Return it as told to callers."""
        return cls.model_validate(
            {
                "dispute_id": row.id,
                "account": account,
                "dispute_type": row.type,
                **{name: getattr(row, name) for name in _TOLD_AS_IT_IS},
            }
        )


_TOLD_AS_IT_IS = Dispute.model_fields.keys() - {"dispute_id", "account", "dispute_type"}


class Disputes(BaseModel):
    """A page of disputes, newest first."""

    disputes: list[Dispute]
    next: str | None = Field(description="`after` of the next page; null: there is none")


@route(disputes, HTTPMethod.POST, "/disputes", scope="disputes:write", answers=Dispute,
       status=201, refusals=(404,))  # fmt: skip
def create(body: NewDispute) -> Dispute:
    """Dispute a lead that was charged.

    A 409 says why it cannot be: `dispute-open`, `disputed-before`, `lead-not-charged`,
    `dispute-window-over`.
    """
    with transaction() as session, _refused():
        auth.account_in_reach(session, body.account)
        opened = rules.open_dispute(
            session,
            **body.model_dump(),
            request_key=idempotency.operation_key(),
            actor=auth.caller().actor,
        )
        told = Dispute.of(opened.dispute, body.account)
        idempotency.keep(session, told)
    if not opened.repeated:
        log.info(created_line(told.lead_id, told.dispute_type))
    return told


@route(disputes, HTTPMethod.GET, "/disputes/<dispute_id>", scope="disputes:read",
       answers=Dispute, refusals=(404,))  # fmt: skip
def show(path: DisputePath) -> Dispute:
    """Tell what became of a dispute."""
    with transaction() as session:
        return Dispute.of(*_in_reach(session, path.dispute_id))


@route(disputes, HTTPMethod.POST, "/disputes/<dispute_id>/withdraw", scope="disputes:write",
       answers=Dispute, refusals=(404,))  # fmt: skip
def withdraw(path: DisputePath) -> Dispute:
    """Take a dispute back. The lead may be disputed again, while its window lasts.

    One that was resolved before is a 409 `dispute-resolved`.
    """
    with transaction() as session, _refused():
        _, account = _in_reach(session, path.dispute_id)
        done = rules.withdraw(session, path.dispute_id, actor=auth.caller().actor)
        told = Dispute.of(done, account)
        idempotency.keep(session, told)
    return told


@route(disputes, HTTPMethod.GET, "/accounts/<ref>/disputes", scope="disputes:read",
       answers=Disputes, refusals=(404,))  # fmt: skip
def of_account(path: AccountPath, query: DisputeQuery) -> Disputes:
    """List the disputes of an account, 20 a page, newest first."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        found = dispute_reading.of_account(
            session, account.id, state=query.state, before_id=query.after, limit=PAGE + 1
        )
    page, more = page_of(found)
    return Disputes(
        disputes=[Dispute.of(row, account.ref) for row in page],
        next=str(page[-1].id) if more else None,
    )


def _in_reach(session: Session, dispute_id: int) -> tuple[LeadDispute, str]:
    caller = auth.caller()
    found = dispute_reading.find(
        session, dispute_id, product=caller.product, account_id=caller.account_id
    )
    if found is None:
        raise Refusal(404, "no dispute of this id is known", kind="unknown-dispute")
    return found[0], found[1]


_CONFLICTS: dict[type[PermanentError], str] = {
    DisputeOpen: "dispute-open",
    DisputedBefore: "disputed-before",
    LeadNotCharged: "lead-not-charged",
    DisputeWindowOver: "dispute-window-over",
    DisputeResolved: "dispute-resolved",
}


@contextmanager
def _refused() -> Iterator[None]:
    """Turn what the rules refuse into a refusal of the API."""
    try:
        yield
    except InvalidDispute as error:
        raise bad_field(error.field, error.problem) from error
    except UnknownLead as error:
        raise Refusal(404, "no lead of this id is known", kind="unknown-lead") from error
    except PermanentError as error:
        if type(error) not in _CONFLICTS:
            raise
        raise Refusal(409, str(error), kind=_CONFLICTS[type(error)]) from error
