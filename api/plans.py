"""`/v1/accounts/{ref}/entitlements` and `/status`: what a plan brings now, and where it stands."""

from datetime import date, datetime
from http import HTTPMethod
from typing import Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.accounts import AccountPath
from api.routes import route
from billing.catalog import PlanState
from billing.plans import RenewalStatus
from billing.plans import entitlements as rules
from billing.plans import overview as plan_overview
from db.session import transaction

plans = APIBlueprint("plans", __name__, url_prefix="/v1", abp_tags=[Tag(name="plans")])


class _Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Entitlement(_Told):
    """Whether an account has something now."""

    allowed: bool
    why: str = Field(description="for a person")
    until: datetime | None = Field(
        description="when it ends if nobody pays; null: never, or it is not allowed"
    )


class Banner(_Told):
    """What to show the customer."""

    level: Literal["info", "warning", "critical"]
    text: str


class Entitlements(_Told):
    """All that an account may and may not do now."""

    account: str
    service_renewal_status: PlanState = Field(description="none: it never bought a plan")
    entitlements: dict[str, Entitlement]
    banner: Banner | None


class BoughtPlan(_Told):
    """What was bought."""

    plan_type: str
    purchased_at: datetime
    branches: int
    features: list[str]


class Renewal(_Told):
    """What has become of the plan's yearly renewal."""

    service_renewal_status: RenewalStatus
    service_renewal_next_due: datetime = Field(description="the beginning of the day that is due")
    due_on: date = Field(description="that day, in the account's zone")
    grace_ends_at: datetime = Field(description="when it is degraded if nobody pays")
    days_left: int = Field(description="days to the one that is due; 0 on it and later")


class NextGrant(_Told):
    """The next month's credit."""

    month: str = Field(description="such as 2026-12, of the account's calendar")
    at: datetime = Field(description="when that month begins")
    credits: int


class AccountStatus(_Told):
    """An account's plan beside its credit; amounts in credits."""

    account: str
    plan: BoughtPlan | None = Field(description="null: it never bought one")
    balance: int
    held: int = Field(description="what open holds keep")
    available: int = Field(description="balance - held + overdraft_limit: what can be spent now")
    overdraft_limit: int
    renewal: Renewal | None
    next_grant: NextGrant | None = Field(description="null: no month is promised")
    banner: Banner | None
    alert_level: Literal["ok", "low", "exhausted", "in_debt"]


@route(plans, HTTPMethod.GET, "/accounts/<ref>/entitlements", scope="accounts:read",
       answers=Entitlements, refusals=(404,))  # fmt: skip
def entitlements(path: AccountPath) -> Entitlements:
    """Tell what an account may do now, why, and until when."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        return Entitlements.model_validate(rules.get_entitlements(session, account))


@route(plans, HTTPMethod.GET, "/accounts/<ref>/status", scope="accounts:read",
       answers=AccountStatus, refusals=(404,))  # fmt: skip
def status(path: AccountPath) -> AccountStatus:
    """Tell an account's plan, credit, renewal and next monthly grant."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        return AccountStatus.model_validate(plan_overview.get_overview(session, account))
