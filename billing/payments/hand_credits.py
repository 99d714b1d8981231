"""Credit that was once given by hand for a payment, under a key that names it.

Such keys are refused now (`billing/credit/payment_keys.py`); rows of earlier times are still there.
A payment with such credit is not credited again: asked by its intake and by its attachment.
"""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.bulk import text_array
from db.models import Payment

REASON = "credited_by_hand"
"""Why such a payment is quarantined."""

_GIVEN = text("""
SELECT idempotency_key, amount FROM credit_transactions
 WHERE idempotency_key = ANY(CAST(:keys AS text[])) AND kind IN ('goodwill', 'adjustment')
""")


def key_of(payment: Payment) -> str:
    """Return the key under which credit was given for a payment by hand."""
    return f"payment:{payment.gateway_payment_id}"


def returned_key_of(payment: Payment) -> str:
    """Return the key under which that credit is taken back."""
    return f"{key_of(payment)}:returned"


def given_for(session: Session, payments: Iterable[Payment]) -> dict[int, int]:
    """Return the credits that each payment has by hand, less what was taken back; by payment id.

    Payments without any are left out.
    """
    payments = list(payments)
    keys = [key for p in payments for key in (key_of(p), returned_key_of(p))]
    if not keys:
        return {}
    rows = session.execute(_GIVEN, {"keys": text_array(keys)})
    amounts = {row.idempotency_key: row.amount for row in rows}
    if not amounts:
        return {}
    given = {p.id: amounts.get(key_of(p), 0) + amounts.get(returned_key_of(p), 0) for p in payments}
    return {payment_id: credits_ for payment_id, credits_ in given.items() if credits_ > 0}
