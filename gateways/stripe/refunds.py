"""Refunds at Stripe, through its SDK; a part of `client.py`."""

from typing import Any

from billing.returns import RefundFacts
from gateways.errors import GatewayNotFound, GatewayRefused
from gateways.refund_receipts import find_refund
from gateways.stripe.answers import as_dict, pages, sdk_errors_translated
from gateways.stripe.refund_facts import refund_facts
from gateways.transport import checked_id

MOST_REFUNDS = 1_000
"""At most so many refunds of one payment are read."""


def refund(service: Any, payment_id: str, *, amount_paise: int, receipt: str) -> RefundFacts:
    """Refund the amount, or return the refund that is there under the receipt.

    A caller whose first call ended unknown must look into `refunds_of` before repeating it: a day
    later, if enough is left, a repeat refunds twice. Raises `GatewayRefused` also if the receipt
    belongs to a refund of another amount.
    """
    asked = {
        "payment_intent": checked_id("stripe", payment_id),
        "amount": amount_paise,
        "metadata": {"receipt": receipt},
    }
    try:
        with sdk_errors_translated():
            return refund_facts(as_dict(service.create(asked, {"idempotency_key": receipt})))
    except GatewayNotFound:
        raise
    except GatewayRefused:
        # Stripe forgets a key after a day, and then a repeat is a new refund, refused for what the
        # first has done ("already been refunded", "greater than unrefunded amount").
        if there := find_refund(
            refunds_of(service, payment_id), receipt, amount_paise=amount_paise
        ):
            return there
        raise


def refunds_of(service: Any, payment_id: str) -> list[RefundFacts]:
    """Return every refund of an intent; raises `OutcomeUnknown` if they are too many."""
    asked = {"payment_intent": checked_id("stripe", payment_id)}
    with sdk_errors_translated():
        listed = pages(service.list, asked, most=MOST_REFUNDS, what="refunds")
        return [refund_facts(refund) for refund in listed]
