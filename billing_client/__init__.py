"""What a platform installs to have its leads billed. Imports nothing of the server.

`BillingClient` speaks HTTP; `CeleryBillingClient` (extra `celery`) sends through the platform's
own Celery broker. Both have the same `charge_lead` and `charge_leads`. `require_credits` charges
credit for a Flask view or a Celery task.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from billing_client.client import BillingClient
from billing_client.credit_decorator import require_credits
from billing_client.errors import (
    AccountExists,
    AccountUnknown,
    AmbiguousPayment,
    AnswerNotKept,
    BillingError,
    ContactExists,
    ContactUnknown,
    DisputedBefore,
    DisputeOpen,
    DisputeRefused,
    DisputeResolved,
    DisputeUnknown,
    DisputeWindowOver,
    EventsNotKept,
    GatewayUnavailable,
    HoldFinished,
    HoldUnknown,
    IdempotencyConflict,
    InvalidFields,
    InvalidRequest,
    LeadNotCharged,
    LeadStillPending,
    LeadUnknown,
    MissingScope,
    NotEnoughCredit,
    NoticeForged,
    NoticeNotSigned,
    NoticeRefused,
    NoticeTimestampOff,
    NoticeUnreadable,
    NotRefundable,
    OrderAtOdds,
    OrderUnknown,
    OutcomeUnknown,
    OutOfReach,
    PaymentUnknown,
    PlanRefused,
    ProductMismatch,
    RefundUnknown,
    Refused,
    RequestInProgress,
    StillRunning,
    TooManyContacts,
    TooManyHolds,
    TooManyRequests,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)
from billing_client.notice_types import Notice, NoticePage
from billing_client.notices import verify_notice
from billing_client.open_enums import OpenEnum
from billing_client.paid_work import credits_used
from billing_client.request_ids import use_request_id
from billing_client.results import (
    Accepted,
    Account,
    AccountStatus,
    AlertLevel,
    Balance,
    Banner,
    BannerLevel,
    BoughtPlan,
    Catalog,
    Charge,
    Contact,
    Dispute,
    DisputeRules,
    DisputeState,
    DisputeType,
    Entitlement,
    Entitlements,
    EventType,
    FreeAmount,
    Gateway,
    Hold,
    HoldState,
    LeadPricing,
    LeadState,
    LeadStatus,
    LeadTier,
    Movement,
    NextGrant,
    Order,
    OrderState,
    Package,
    Payment,
    PaymentState,
    Plan,
    PlanState,
    Product,
    Refund,
    RefundState,
    Renewal,
    Slab,
    Statement,
    Transaction,
    TransactionKind,
    VerifiedPayment,
)
from billing_client.settings import BillingSettings
from billing_client.version import __version__

if TYPE_CHECKING:
    from billing_client.async_client import AsyncBillingClient as AsyncBillingClient
    from billing_client.celery_client import CeleryBillingClient as CeleryBillingClient

# Without the two of extras: `from billing_client import *` must work without them.
__all__ = [
    "Accepted",
    "Account",
    "AccountExists",
    "AccountStatus",
    "AccountUnknown",
    "AlertLevel",
    "AmbiguousPayment",
    "AnswerNotKept",
    "Balance",
    "Banner",
    "BannerLevel",
    "BillingClient",
    "BillingError",
    "BillingSettings",
    "BoughtPlan",
    "Catalog",
    "Charge",
    "Contact",
    "ContactExists",
    "ContactUnknown",
    "Dispute",
    "DisputeOpen",
    "DisputeRefused",
    "DisputeResolved",
    "DisputeRules",
    "DisputeState",
    "DisputeType",
    "DisputeUnknown",
    "DisputeWindowOver",
    "DisputedBefore",
    "Entitlement",
    "Entitlements",
    "EventType",
    "EventsNotKept",
    "FreeAmount",
    "Gateway",
    "GatewayUnavailable",
    "Hold",
    "HoldFinished",
    "HoldState",
    "HoldUnknown",
    "IdempotencyConflict",
    "InvalidFields",
    "InvalidRequest",
    "LeadNotCharged",
    "LeadPricing",
    "LeadState",
    "LeadStatus",
    "LeadStillPending",
    "LeadTier",
    "LeadUnknown",
    "MissingScope",
    "Movement",
    "NextGrant",
    "NotEnoughCredit",
    "NotRefundable",
    "Notice",
    "NoticeForged",
    "NoticeNotSigned",
    "NoticePage",
    "NoticeRefused",
    "NoticeTimestampOff",
    "NoticeUnreadable",
    "OpenEnum",
    "Order",
    "OrderAtOdds",
    "OrderState",
    "OrderUnknown",
    "OutOfReach",
    "OutcomeUnknown",
    "Package",
    "Payment",
    "PaymentState",
    "PaymentUnknown",
    "Plan",
    "PlanRefused",
    "PlanState",
    "Product",
    "ProductMismatch",
    "Refund",
    "RefundState",
    "RefundUnknown",
    "Refused",
    "Renewal",
    "RequestInProgress",
    "Slab",
    "Statement",
    "StillRunning",
    "TooManyContacts",
    "TooManyHolds",
    "TooManyRequests",
    "Transaction",
    "TransactionKind",
    "Unauthorized",
    "UnexpectedAnswer",
    "Unreachable",
    "VerifiedPayment",
    "__version__",
    "credits_used",
    "require_credits",
    "use_request_id",
    "verify_notice",
]


_OF_EXTRAS = {
    "AsyncBillingClient": ("async_client", "async"),
    "CeleryBillingClient": ("celery_client", "celery"),
}
"""Name -> its module and the extra that brings what it needs."""


def __getattr__(name: str) -> object:
    # Imported on first use: httpx and Celery are extras.
    if name not in _OF_EXTRAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, extra = _OF_EXTRAS[name]
    try:
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} needs the module {error.name!r}: install credit-billing-client[{extra}]"
        ) from error
