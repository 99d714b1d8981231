"""The numbers of the business: `catalog.toml`, read once and validated at start.

`catalog.get()` is the catalog of this process. The shapes of its sections stand by subject in
`lead_sections.py`, `sale_sections.py` and `plan_sections.py`; `document.py` is the whole file and
what its sections must agree on; `loading.py` reads it. Every process calls `get` at start.
"""

from billing.catalog.document import Catalog
from billing.catalog.lead_sections import LeadTier
from billing.catalog.loading import CatalogError, get, load
from billing.catalog.plan_sections import Plan, PlanState
from billing.catalog.sale_sections import Payments, Refunds, Slab

__all__ = [
    "Catalog",
    "CatalogError",
    "LeadTier",
    "Payments",
    "Plan",
    "PlanState",
    "Refunds",
    "Slab",
    "get",
    "load",
]
