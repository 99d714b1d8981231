"""What a platform installs to have its leads billed. Imports nothing of the server.

`BillingClient` speaks HTTP; `CeleryBillingClient` (extra `celery`) sends through the platform's
own Celery broker. Both have the same `charge_lead` and `charge_leads`.
"""

from typing import TYPE_CHECKING

from billing_client.client import BillingClient
from billing_client.errors import (
    BillingError,
    InvalidRequest,
    LeadUnknown,
    Refused,
    Unauthorized,
    Unreachable,
)
from billing_client.results import Accepted, LeadStatus

if TYPE_CHECKING:
    from billing_client.celery_client import CeleryBillingClient

__all__ = [
    "Accepted",
    "BillingClient",
    "BillingError",
    "CeleryBillingClient",
    "InvalidRequest",
    "LeadStatus",
    "LeadUnknown",
    "Refused",
    "Unauthorized",
    "Unreachable",
]


def __getattr__(name: str) -> object:
    # Only who asks for it needs Celery.
    if name == "CeleryBillingClient":
        from billing_client.celery_client import CeleryBillingClient  # noqa: PLC0415

        return CeleryBillingClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
