"""Plans: what an account may do now, and when that changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from billing_client.open_enums import OpenEnum
from billing_client.results.accounts import AlertLevel


class PlanState(OpenEnum):
    """The state of an account's plan."""

    NONE = "none"
    """The account never bought one."""
    ACTIVE = "active"
    DUE_SOON = "due_soon"
    PAST_DUE = "past_due"
    DEGRADED = "degraded"


class BannerLevel(OpenEnum):
    """How loud a banner is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Whether an account may use a feature now."""

    allowed: bool
    why: str
    """The reason, for a person."""
    until: datetime | None
    """When it ends without a payment; None: never, or it is not allowed."""


@dataclass(frozen=True, slots=True)
class Banner:
    """What to show the customer."""

    level: BannerLevel
    text: str


@dataclass(frozen=True, slots=True)
class Entitlements:
    """What an account may and may not do now."""

    account: str
    service_renewal_status: PlanState
    entitlements: Mapping[str, Entitlement]
    banner: Banner | None

    def allows(self, feature: str) -> bool:
        """Return whether the account may use a feature now; one that nobody knows: no."""
        found = self.entitlements.get(feature)
        return found is not None and found.allowed


@dataclass(frozen=True, slots=True)
class BoughtPlan:
    """The plan that was bought."""

    plan_type: str
    purchased_at: datetime
    branches: int
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Renewal:
    """The state of the plan's yearly renewal."""

    service_renewal_status: PlanState
    service_renewal_next_due: datetime
    """The beginning of the due day."""
    due_on: date
    """That day, in the account's zone."""
    grace_ends_at: datetime
    """When it is degraded without a payment."""
    days_left: int
    """Days until the due day; 0 on that day and later."""


@dataclass(frozen=True, slots=True)
class NextGrant:
    """The next month's credit."""

    month: str
    """Such as 2026-12, in the account's calendar."""
    at: datetime
    """When that month begins."""
    credits: int


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The plan and the credit of an account; amounts in credits."""

    account: str
    plan: BoughtPlan | None
    """None: the account never bought one."""
    balance: int
    held: int
    """What open holds set aside."""
    available: int
    """balance - held + overdraft_limit: what can be spent now."""
    overdraft_limit: int
    renewal: Renewal | None
    next_grant: NextGrant | None
    """None: no further month is granted."""
    banner: Banner | None
    alert_level: AlertLevel
