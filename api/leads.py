"""`/v1/leads`: the state of a lead."""

from datetime import datetime
from http import HTTPMethod
from typing import Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.examples import UNKNOWN_LEAD, Example
from api.fields import Id
from api.problems import Refusal
from api.routes import route
from billing.leads import status
from billing.text import ID_MAX_LENGTH
from db.session import transaction

leads = APIBlueprint("leads", __name__, url_prefix="/v1", abp_tags=[Tag(name="leads")])


class LeadPath(BaseModel):
    """The lead."""

    lead_id: Id = Field(
        description=f"the platform's id: at most {ID_MAX_LENGTH} characters, no control characters"
    )


class Lead(BaseModel):
    """A lead and its state."""

    model_config = ConfigDict(from_attributes=True)

    lead_id: str
    account: str
    state: Literal["pending", "charged", "parked", "conflict", "refunded", "cancelled", "refused"]
    credits: int = Field(description="its price; zero for a conflict, which charges nothing")
    package_price_paise: int
    conflicts: int = Field(description="requests that do not match its account or price")
    occurred_at: datetime | None
    updated_at: datetime
    reason: str | None = Field(description="why it is refused, or still pending, if known")


@route(
    leads,
    HTTPMethod.GET,
    "/leads/<any_id:lead_id>",
    scope="leads:read",
    answers=Lead,
    refusals=(404,),
    example=Example(
        path={"lead_id": "L-17"},
        answer={
            "lead_id": "L-17",
            "account": "clinic:42",
            "state": "charged",
            "credits": 250,
            "package_price_paise": 1_200_000,
            "conflicts": 0,
            "occurred_at": "2026-11-21T04:15:00Z",
            "updated_at": "2026-11-21T04:15:02Z",
            "reason": None,
        },
        refused=(UNKNOWN_LEAD,),
    ),
)
def show(path: LeadPath) -> Lead:
    """Show a lead and its state.

    A lead is known as soon as its event is accepted. A lead of an account out of the key's reach
    gets the same 404 as a lead that does not exist.
    """
    caller = auth.caller()
    with transaction() as session:
        found = status.find_status(
            session, path.lead_id, product=caller.product, account_id=caller.account_id
        )
    if found is None:
        raise Refusal(404, "no lead with this id is known", kind="unknown-lead")
    return Lead.model_validate(found)
