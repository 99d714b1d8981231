"""`/v1/accounts/{ref}/entitlements` and `/status`: the plan of an account and what it allows."""

from datetime import date, datetime
from http import HTTPMethod
from typing import Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.accounts import AccountPath
from api.routes import route
from billing import plans as rules
from billing.catalog import PlanState
from billing.plans import RenewalStatus
from db.session import transaction

plans = APIBlueprint("plans", __name__, url_prefix="/v1", abp_tags=[Tag(name="plans")])


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Entitlement(_Answer):
    """Whether an account may use a feature now."""

    allowed: bool
    why: str = Field(description="the reason, for a person")
    until: datetime | None = Field(
        description="when it ends without a payment; null: never, or it is not allowed"
    )


class Banner(_Answer):
    """What to show the customer."""

    level: Literal["info", "warning", "critical"]
    text: str


class Entitlements(_Answer):
    """What an account may and may not do now."""

    account: str
    service_renewal_status: PlanState = Field(description="none: the account never bought a plan")
    entitlements: dict[str, Entitlement]
    banner: Banner | None


class BoughtPlan(_Answer):
    """The plan that was bought."""

    plan_type: str
    purchased_at: datetime
    branches: int
    features: list[str]


class Renewal(_Answer):
    """The state of the plan's yearly renewal."""

    service_renewal_status: RenewalStatus
    service_renewal_next_due: datetime = Field(description="the beginning of the due day")
    due_on: date = Field(description="that day, in the account's zone")
    grace_ends_at: datetime = Field(description="when it is degraded without a payment")
    days_left: int = Field(description="days until the due day; 0 on that day and later")


class NextGrant(_Answer):
    """The next month's credit."""

    month: str = Field(description="such as 2026-12, in the account's calendar")
    at: datetime = Field(description="when that month begins")
    credits: int


class AccountStatus(_Answer):
    """The plan and the credit of an account; amounts in credits."""

    account: str
    plan: BoughtPlan | None = Field(description="null: the account never bought one")
    balance: int
    held: int = Field(description="what open holds set aside")
    available: int = Field(description="balance - held + overdraft_limit: what can be spent now")
    overdraft_limit: int
    renewal: Renewal | None
    next_grant: NextGrant | None = Field(description="null: no further month is granted")
    banner: Banner | None
    alert_level: Literal["ok", "low", "exhausted", "in_debt"]


@route(
    plans,
    HTTPMethod.GET,
    "/accounts/<ref>/entitlements",
    scope="accounts:read",
    answers=Entitlements,
    refusals=(404,),
)
def entitlements(path: AccountPath) -> Entitlements:
    """Show what an account may do now, why, and until when."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        return Entitlements.model_validate(rules.entitlements.get_entitlements(session, account))


@route(
    plans,
    HTTPMethod.GET,
    "/accounts/<ref>/status",
    scope="accounts:read",
    answers=AccountStatus,
    refusals=(404,),
)
def status(path: AccountPath) -> AccountStatus:
    """Show an account's plan, credit, renewal and next monthly grant."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        return AccountStatus.model_validate(rules.overview.get_overview(session, account))
