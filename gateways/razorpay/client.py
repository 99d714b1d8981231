"""Razorpay, through its SDK: orders, payments, refunds, disputes. Made by `gateways/registry.py`.

The SDK is kept from sending anything twice (its retry repeats a POST and so opens a second order),
from hanging for ever (it has no time-out of its own) and from its mutable defaults. How a call may
end: `transport.py` and `answers.py`.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import razorpay

from billing.payments import GatewayName, OrderFacts, PaymentFacts, Seen
from billing.returns import DisputeFacts, RefundFacts
from gateways import transport
from gateways.entity import unreadable_is_unknown
from gateways.errors import GatewayNotFound, GatewayRefused, OutcomeUnknown
from gateways.protocol import NewOrder
from gateways.razorpay import refunds
from gateways.razorpay.answers import RazorpayRefused, Session
from gateways.razorpay.lists import LARGEST_PAGE, all_items, items_of, pages_of
from gateways.razorpay.payment_facts import order_facts, payment_facts
from gateways.razorpay.refund_facts import dispute_facts, refund_facts
from gateways.transport import checked_id

CAPTURE = {
    "capture": "automatic",
    # The longest there is (five days, in minutes): whatever a bank authorizes late is captured and
    # becomes credit instead of going back to a customer who believes to have paid.
    "capture_options": {
        "automatic_expiry_period": 7200,
        "manual_expiry_period": 7200,
        "refund_speed": "normal",
    },
}
"""Sent with each order: it overrides the dashboard's setting."""


class RazorpayGateway:
    """`gateways.protocol.Gateway` for Razorpay; may be used by several threads at once."""

    name: GatewayName = "razorpay"

    def __init__(
        self,
        key_id: str,
        key_secret: str,
        *,
        api_base: str,
        timeout: tuple[float, float] = transport.TIMEOUT,
    ) -> None:
        """Connect to nothing yet; `timeout` is (connect, read) in seconds."""
        self.public_key = key_id
        self._key_secret = key_secret.encode()
        # As bytes: requests cannot encode every text, and would say so with the key in the error.
        self._sdk: Any = razorpay.Client(
            auth=(key_id.encode(), self._key_secret),
            base_url=api_base,
            session=Session(api_base, timeout),
        )
        self._unique_receipt_is_known = True

    def open_order(self, order: NewOrder) -> OrderFacts:
        """Open the order and return it; a repeat under the same receipt returns the first.

        Raises `GatewayRefused` if the receipt belongs to an order of another amount.
        """
        opened = self._open_once(order)
        if (opened.amount_paise, opened.currency) != (order.amount_paise, order.currency):
            raise GatewayRefused(
                "razorpay",
                "the receipt belongs to an order of another amount",
                status=None,
                field="receipt",
            )
        return opened

    def find_order(self, receipt: str, *, opened_at: datetime) -> OrderFacts | None:  # noqa: ARG002
        """Return the order with our receipt, the first if there are several, or None."""
        return self._with_receipt(receipt)

    def order(self, order_id: str) -> OrderFacts:
        """Return an order; raises `GatewayNotFound`."""
        answer = self._sdk.order.fetch(checked_id("razorpay", order_id), {})
        with unreadable_is_unknown("razorpay"):
            return order_facts(answer)

    def payments_of(self, order_id: str) -> Sequence[PaymentFacts]:
        """Return every payment made on an order; unlike the list of all payments, it never lags."""
        checked_id("razorpay", order_id)
        items = all_items(lambda query: self._sdk.order.payments(order_id, query))
        with unreadable_is_unknown("razorpay"):
            return [payment_facts(item) for item in items]

    def payment(self, payment_id: str) -> PaymentFacts:
        """Return one payment; raises `GatewayNotFound`."""
        answer = self._sdk.payment.fetch(checked_id("razorpay", payment_id), {})
        with unreadable_is_unknown("razorpay"):
            return payment_facts(answer)

    def capture(self, payment: PaymentFacts) -> PaymentFacts:
        """Capture a payment in full; one that is already captured is returned as it is."""
        payment_id = checked_id("razorpay", payment.payment_id)
        try:
            answer = self._sdk.payment.capture(
                payment_id, payment.amount_paise, {"currency": payment.currency}
            )
        except GatewayNotFound:
            raise
        except GatewayRefused:
            # "This payment has already been captured", in whichever words: Razorpay's own capture
            # may have come first.
            now = self.payment(payment_id)
            if now.seen is Seen.CAPTURED:
                return now
            raise
        with unreadable_is_unknown("razorpay"):
            return payment_facts(answer)

    def refund(
        self,
        payment_id: str,
        *,
        amount_paise: int,
        currency: str,  # noqa: ARG002
        receipt: str,
    ) -> RefundFacts:
        """Refund a part or all; a repeat under one receipt returns the first.

        It goes back in the payment's own currency: Razorpay takes none. Raises
        `GatewayRefused` also for a receipt of another amount.
        """
        return refunds.refund(self._sdk, payment_id, amount_paise=amount_paise, receipt=receipt)

    def refunds_of(self, payment_id: str) -> Sequence[RefundFacts]:
        """Return every refund of a payment, also those of Razorpay's dashboard."""
        return refunds.refunds_of(self._sdk, payment_id)

    def refunds(self, *, since: datetime) -> Sequence[RefundFacts]:
        """Return every refund that was started since then."""
        started = {"from": int(since.timestamp())}
        items = pages_of(lambda query: self._sdk.refund.all({**started, **query}))
        with unreadable_is_unknown("razorpay"):
            return [refund_facts(item) for item in items]

    def dispute(self, dispute_id: str) -> DisputeFacts:
        """Return a dispute; raises `GatewayNotFound`."""
        answer = self._sdk.dispute.fetch(checked_id("razorpay", dispute_id), {})
        with unreadable_is_unknown("razorpay"):
            return dispute_facts(answer)

    def disputes(self, *, since: datetime) -> Sequence[DisputeFacts]:
        """Return every dispute that was opened since then."""
        opened = {"from": int(since.timestamp())}
        items = pages_of(lambda query: self._sdk.dispute.all({**opened, **query}))
        with unreadable_is_unknown("razorpay"):
            return [dispute_facts(item) for item in items]

    def is_signed_by_gateway(self, order_id: str, payment_id: str, signature: str) -> bool:
        """Tell whether the checkout signed `order_id|payment_id` with our key's secret."""
        signed = f"{order_id}|{payment_id}".encode(errors="surrogatepass")
        expected = hmac.digest(self._key_secret, signed, hashlib.sha256).hex().encode()
        return hmac.compare_digest(expected, signature.encode(errors="surrogatepass"))

    def _open_once(self, order: NewOrder) -> OrderFacts:
        """Open the order, or return the one that already has its receipt."""
        if self._unique_receipt_is_known:
            try:
                return self._create(order, unique_receipt=True)
            except RazorpayRefused as error:
                if error.why != "extra_field_sent":
                    return self._under_receipt(order, error)
            # A newer field, which Razorpay does not accept from every account yet.
            self._unique_receipt_is_known = False
        # Receipts are not checked for every account: looking first makes a repeat harmless.
        if there := self._with_receipt(order.receipt):
            return there
        try:
            return self._create(order)
        except RazorpayRefused as error:
            return self._under_receipt(order, error)

    def _create(self, order: NewOrder, **more: object) -> OrderFacts:
        answer = self._sdk.order.create(
            {
                "amount": order.amount_paise,
                "currency": order.currency,
                "receipt": order.receipt,
                "notes": {"account": order.account},
                "partial_payment": False,
                "payment": CAPTURE,
                **more,
            }
        )
        with unreadable_is_unknown("razorpay"):
            return order_facts(answer)

    def _under_receipt(self, order: NewOrder, error: RazorpayRefused) -> OrderFacts:
        """Return the order with the receipt if it was refused for that; else raise the refusal."""
        if "receipt should be unique" not in error.reason.lower():
            raise error
        if there := self._with_receipt(order.receipt):
            return there
        raise OutcomeUnknown("razorpay", "the receipt is taken, and its order is not listed yet")

    def _with_receipt(self, receipt: str) -> OrderFacts | None:
        answer = self._sdk.order.all({"receipt": receipt, "count": LARGEST_PAGE})
        with unreadable_is_unknown("razorpay"):
            orders = [order_facts(item) for item in items_of(answer)]
        ours = [order for order in orders if order.receipt == receipt]
        return ours[-1] if ours else None  # they are listed newest first
