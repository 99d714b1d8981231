"""Keys that name a payment, which no credit by hand may have: a payment is credited once.

The credit of a payment comes from its intake or its attachment, under keys of their own. A key by
hand that names it would be a second way to the same credit, and neither could see the other in
time. So it is refused by its text alone, whether or not the payment is on record yet.

Used by corrections (`billing/credit/corrections.py`) and by years of plans that are added by hand
(`billing/plans/manual_years.py`).
"""

import re

_PREFIX = "payment:"
_ID = re.compile("(?<![A-Za-z0-9])(pay|pi)_[A-Za-z0-9]{14,}").search
"""The ids of payments at Razorpay (razorpay.com/docs/api) and Stripe (docs.stripe.com/api)."""

INSTEAD = "names a payment: `billing payments attach` gives its credit, once"
"""What is wrong with such a key, and what to do."""


def names_a_payment(key: str) -> bool:
    """Return whether an idempotency key names a payment of a gateway."""
    return key.startswith(_PREFIX) or _ID(key) is not None
