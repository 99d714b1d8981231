"""`/v1/leads`: what became of a lead."""

from datetime import datetime
from http import HTTPMethod
from typing import Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.fields import Id
from api.problems import Refusal
from api.routes import route
from billing.leads import status as lead_status
from billing.text import ID_MAX_LENGTH
from db.session import transaction

leads = APIBlueprint("leads", __name__, url_prefix="/v1", abp_tags=[Tag(name="leads")])


class LeadPath(BaseModel):
    """Which lead."""

    lead_id: Id = Field(
        description=f"as the platform named it: at most {ID_MAX_LENGTH} characters, none of control"
    )


class Lead(BaseModel):
    """What became of a lead."""

    model_config = ConfigDict(from_attributes=True)

    lead_id: str
    account: str
    state: Literal["pending", "charged", "parked", "conflict", "refunded", "cancelled"]
    credits: int = Field(description="its price; nought for a conflict, which takes nothing")
    package_price_paise: int
    conflicts: int = Field(description="requests that disagreed with this one on account or price")
    occurred_at: datetime | None
    updated_at: datetime
    reason: str | None = Field(description="why it is pending, where that is known")


@route(leads, HTTPMethod.GET, "/leads/<any_id:lead_id>", scope="leads:read", answers=Lead,
       refusals=(404,))  # fmt: skip
def show(path: LeadPath) -> Lead:
    """Tell what became of a lead.

    It is known from the moment its event was accepted. A lead of an account that the key does not
    reach is as unknown as one that never was.
    """
    caller = auth.caller()
    with transaction() as session:
        found = lead_status.find_status(
            session, path.lead_id, product=caller.product, account_id=caller.account_id
        )
    if found is None:
        raise Refusal(404, "no lead of this id is known", kind="unknown-lead")
    return Lead.model_validate(found)
