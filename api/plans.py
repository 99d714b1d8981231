"""`/v1/accounts/{ref}/entitlements` and `/status`: the plan of an account and what it allows."""

from datetime import date, datetime
from http import HTTPMethod
from typing import Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth
from api.accounts import AccountPath
from api.examples import UNKNOWN_ACCOUNT, Example
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
    example=Example(
        path={"ref": "pharmacy:7"},
        answer={
            "account": "pharmacy:7",
            "service_renewal_status": "active",
            "entitlements": {
                "core_features": {
                    "allowed": True,
                    "why": "included since the plan was bought, renewed or not",
                    "until": None,
                },
                "spend_credits": {
                    "allowed": True,
                    "why": "always included: it needs no plan",
                    "until": None,
                },
                "monthly_grant": {
                    "allowed": True,
                    "why": "the plan is due on 2027-11-20: included until its grace ends on"
                    " 2027-12-05",
                    "until": "2027-12-04T18:30:00Z",
                },
                "updates": {
                    "allowed": True,
                    "why": "the plan is due on 2027-11-20: included until its grace ends on"
                    " 2027-12-05",
                    "until": "2027-12-04T18:30:00Z",
                },
                "priority_support": {
                    "allowed": True,
                    "why": "included while the plan is paid: it is due on 2027-11-20",
                    "until": "2027-11-19T18:30:00Z",
                },
                "new_branches": {
                    "allowed": True,
                    "why": "included while the plan is paid: it is due on 2027-11-20",
                    "until": "2027-11-19T18:30:00Z",
                },
            },
            "banner": None,
        },
        refused=(UNKNOWN_ACCOUNT,),
    ),
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
    example=Example(
        path={"ref": "pharmacy:7"},
        answer={
            "account": "pharmacy:7",
            "plan": {
                "plan_type": "pharmapulse_one",
                "purchased_at": "2026-11-20T05:00:00Z",
                "branches": 1,
                "features": ["all_features", "priority_support"],
            },
            "balance": 50_000,
            "held": 0,
            "available": 50_000,
            "overdraft_limit": 0,
            "renewal": {
                "service_renewal_status": "active",
                "service_renewal_next_due": "2027-11-19T18:30:00Z",
                "due_on": "2027-11-20",
                "grace_ends_at": "2027-12-04T18:30:00Z",
                "days_left": 365,
            },
            "next_grant": {
                "month": "2026-12",
                "at": "2026-11-30T18:30:00Z",
                "credits": 50_000,
            },
            "banner": None,
            "alert_level": "ok",
        },
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def status(path: AccountPath) -> AccountStatus:
    """Show an account's plan, credit, renewal and next monthly grant."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        return AccountStatus.model_validate(rules.overview.get_overview(session, account))
