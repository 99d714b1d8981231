"""What a platform installs to have its leads billed. Imports nothing of the server.

`BillingClient` speaks HTTP; `CeleryBillingClient` (extra `celery`) sends through the platform's
own Celery broker. Both have the same `charge_lead` and `charge_leads`. `require_credits` charges
credit for a Flask view or a Celery task.
"""

from typing import TYPE_CHECKING

from billing_client.client import BillingClient
from billing_client.credit_decorator import require_credits
from billing_client.errors import (
    AccountUnknown,
    BillingError,
    HoldFinished,
    HoldUnknown,
    IdempotencyConflict,
    InvalidRequest,
    LeadUnknown,
    NotEnoughCredit,
    Refused,
    StillRunning,
    TooManyHolds,
    Unauthorized,
    Unreachable,
)
from billing_client.paid_work import credits_used
from billing_client.results import Accepted, Charge, Hold, LeadStatus
from billing_client.version import __version__

if TYPE_CHECKING:
    from billing_client.celery_client import CeleryBillingClient as CeleryBillingClient

# Without `CeleryBillingClient`: `from billing_client import *` must work without its extra.
__all__ = [
    "Accepted",
    "AccountUnknown",
    "BillingClient",
    "BillingError",
    "Charge",
    "Hold",
    "HoldFinished",
    "HoldUnknown",
    "IdempotencyConflict",
    "InvalidRequest",
    "LeadStatus",
    "LeadUnknown",
    "NotEnoughCredit",
    "Refused",
    "StillRunning",
    "TooManyHolds",
    "Unauthorized",
    "Unreachable",
    "__version__",
    "credits_used",
    "require_credits",
]


def __getattr__(name: str) -> object:
    # Imported on first use: Celery is an extra.
    if name != "CeleryBillingClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from billing_client.celery_client import CeleryBillingClient  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ImportError(
            f"CeleryBillingClient needs the module {error.name!r}:"
            " install credit-billing-client[celery]"
        ) from error
    return CeleryBillingClient
