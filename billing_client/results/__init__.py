"""What the calls return: frozen dataclasses, one module a resource.

Fields have the names of the API's JSON. Money is whole paise (`int`), credit whole credits (`int`),
times are aware datetimes. A field that this version does not know is ignored (`reading.py`).
"""

from billing_client.results.accounts import (
    Account,
    AlertLevel,
    Balance,
    Movement,
    Statement,
    Transaction,
    TransactionKind,
)
from billing_client.results.catalog import (
    Catalog,
    DisputeRules,
    FreeAmount,
    LeadPricing,
    LeadTier,
    Package,
    Plan,
    Product,
    Slab,
)
from billing_client.results.contacts import Contact
from billing_client.results.credit import (
    Charge,
    Hold,
    HoldState,
)
from billing_client.results.disputes import (
    Dispute,
    DisputeState,
    DisputeType,
)
from billing_client.results.events import EventType
from billing_client.results.leads import (
    Accepted,
    LeadState,
    LeadStatus,
)
from billing_client.results.payments import (
    Gateway,
    Order,
    OrderState,
    Payment,
    PaymentState,
    Refund,
    RefundState,
    VerifiedPayment,
)
from billing_client.results.plans import (
    AccountStatus,
    Banner,
    BannerLevel,
    BoughtPlan,
    Entitlement,
    Entitlements,
    NextGrant,
    PlanState,
    Renewal,
)

__all__ = [
    "Accepted",
    "Account",
    "AccountStatus",
    "AlertLevel",
    "Balance",
    "Banner",
    "BannerLevel",
    "BoughtPlan",
    "Catalog",
    "Charge",
    "Contact",
    "Dispute",
    "DisputeRules",
    "DisputeState",
    "DisputeType",
    "Entitlement",
    "Entitlements",
    "EventType",
    "FreeAmount",
    "Gateway",
    "Hold",
    "HoldState",
    "LeadPricing",
    "LeadState",
    "LeadStatus",
    "LeadTier",
    "Movement",
    "NextGrant",
    "Order",
    "OrderState",
    "Package",
    "Payment",
    "PaymentState",
    "Plan",
    "PlanState",
    "Product",
    "Refund",
    "RefundState",
    "Renewal",
    "Slab",
    "Statement",
    "Transaction",
    "TransactionKind",
    "VerifiedPayment",
]
