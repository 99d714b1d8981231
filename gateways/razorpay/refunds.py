"""Refunds at Razorpay, through its SDK; a part of `client.py`."""

from typing import Any

from billing.returns import RefundFacts
from gateways.entity import unreadable_is_unknown
from gateways.razorpay.answers import RazorpayRefused
from gateways.razorpay.lists import all_items
from gateways.razorpay.refund_facts import refund_facts
from gateways.refund_receipts import find_refund
from gateways.transport import checked_id

KEY_HEADER = "X-Refund-Idempotency"
"""Takes ten characters and more of letters, digits, - and _: our receipts are such."""


def refund(sdk: Any, payment_id: str, *, amount_paise: int, receipt: str) -> RefundFacts:
    """Refund the amount, or return the refund that is there under the receipt.

    A caller whose first call ended unknown must look into `refunds_of` before repeating it: if the
    header is not honoured and enough is left, a repeat refunds twice. Raises `GatewayRefused` also
    if the receipt belongs to a refund of another amount.
    """
    asked = {"amount": amount_paise, "speed": "normal", "notes": {}, "receipt": receipt}
    payment_id = checked_id("razorpay", payment_id)
    try:
        answer = sdk.payment.refund(payment_id, asked, headers={KEY_HEADER: receipt})
    except RazorpayRefused:
        # The header is not known to be honoured everywhere (test mode). Without it a repeat is a
        # new refund, and refused for what the first has done, in whichever words: "fully refunded
        # already", "greater than amount captured".
        if there := find_refund(refunds_of(sdk, payment_id), receipt, amount_paise=amount_paise):
            return there
        raise
    with unreadable_is_unknown("razorpay"):
        return refund_facts(answer)


def refunds_of(sdk: Any, payment_id: str) -> list[RefundFacts]:
    """Return every refund of a payment; raises `GatewayNotFound`."""
    checked_id("razorpay", payment_id)
    # A dict of its own for each request: the SDK's default is shared, and it writes into it.
    items = all_items(lambda query: sdk.payment.fetch_multiple_refund(payment_id, query))
    with unreadable_is_unknown("razorpay"):
        return [refund_facts(item) for item in items]
