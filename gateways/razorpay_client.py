"""Razorpay, through its SDK: orders, payments and capture. Made by `gateways/registry.py`.

What the SDK is kept from: sending anything twice (its retry repeats a POST and so opens a second
order), hanging for ever (it has no time-out of its own) and its mutable defaults. How a call
may end stands in `transport.py` and `razorpay_answers.py`.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import razorpay

from billing.payment_facts import GatewayName, OrderFacts, PaymentFacts, Seen
from gateways import transport
from gateways.errors import GatewayNotFound, GatewayRefused, OutcomeUnknown
from gateways.protocol import NewOrder
from gateways.razorpay_answers import RazorpayRefused, Session
from gateways.razorpay_reading import order_facts, payment_facts
from gateways.reading import answers_of

DEFAULT_PAGE, LARGEST_PAGE = 10, 100
_IS_ID = re.compile("[A-Za-z0-9_]{1,200}").fullmatch

CAPTURE = {
    "capture": "automatic",
    # The longest there is (five days, in minutes): whatever a bank authorizes late is captured and
    # becomes credit, in place of going back to a customer who believes to have paid.
    "capture_options": {
        "automatic_expiry_period": 7200,
        "manual_expiry_period": 7200,
        "refund_speed": "normal",
    },
}
"""Sent with each order, for it overrides whatever the dashboard says."""


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

        Raises `GatewayRefused` where the receipt is that of an order of another amount.
        """
        opened = self._open_once(order)
        if (opened.amount_paise, opened.currency) != (order.amount_paise, order.currency):
            raise GatewayRefused(
                "razorpay", "the receipt is that of an order of another amount", status=None,
                field="receipt",
            )  # fmt: skip
        return opened

    def find_order(self, receipt: str, *, opened_at: datetime) -> OrderFacts | None:  # noqa: ARG002
        """Return the order with our receipt, the first if there are several, or None."""
        return self._with_receipt(receipt)

    def order(self, order_id: str) -> OrderFacts:
        """Return an order; raises `GatewayNotFound`."""
        answer = self._sdk.order.fetch(_checked(order_id), {})
        with answers_of("razorpay"):
            return order_facts(answer)

    def payments_of(self, order_id: str) -> Sequence[PaymentFacts]:
        """Return every payment made on an order; unlike the list of all payments, it never lags."""
        _checked(order_id)
        items = _items(self._sdk.order.payments(order_id, {}))
        if len(items) >= DEFAULT_PAGE:
            # Whether this list comes in pages is not documented; ten or more may be the first.
            items = self._paged(order_id, items)
        with answers_of("razorpay"):
            return [payment_facts(item) for item in items]

    def payment(self, payment_id: str) -> PaymentFacts:
        """Return one payment; raises `GatewayNotFound`."""
        answer = self._sdk.payment.fetch(_checked(payment_id), {})
        with answers_of("razorpay"):
            return payment_facts(answer)

    def capture(self, payment: PaymentFacts) -> PaymentFacts:
        """Capture a payment, whole; one that was captured before is returned as it is."""
        payment_id = _checked(payment.payment_id)
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
        with answers_of("razorpay"):
            return payment_facts(answer)

    def is_signed_by_gateway(self, order_id: str, payment_id: str, signature: str) -> bool:
        """Tell whether the checkout signed `order_id|payment_id` with our key's secret."""
        signed = f"{order_id}|{payment_id}".encode(errors="surrogatepass")
        expected = hmac.digest(self._key_secret, signed, hashlib.sha256).hex().encode()
        return hmac.compare_digest(expected, signature.encode(errors="surrogatepass"))

    def _open_once(self, order: NewOrder) -> OrderFacts:
        """Open it, or return the one that is there under its receipt."""
        if self._unique_receipt_is_known:
            try:
                return self._create(order, unique_receipt=True)
            except RazorpayRefused as error:
                if error.why != "extra_field_sent":
                    return self._under_receipt(order, error)
            # A newer field of Razorpay's, which it does not take from everybody yet.
            self._unique_receipt_is_known = False
        # Not every account has its receipts checked: looking first makes a repeat harmless.
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
        with answers_of("razorpay"):
            return order_facts(answer)

    def _under_receipt(self, order: NewOrder, error: RazorpayRefused) -> OrderFacts:
        """Return the order that has the receipt, where the refusal is for that; else raise it."""
        if "receipt should be unique" not in error.reason.lower():
            raise error
        if there := self._with_receipt(order.receipt):
            return there
        raise OutcomeUnknown("razorpay", "the receipt is taken, and its order not listed yet")

    def _with_receipt(self, receipt: str) -> OrderFacts | None:
        answer = self._sdk.order.all({"receipt": receipt, "count": LARGEST_PAGE})
        with answers_of("razorpay"):
            orders = [order_facts(item) for item in _items(answer)]
        ours = [order for order in orders if order.receipt == receipt]
        return ours[-1] if ours else None  # they are listed newest first

    def _paged(self, order_id: str, first: list[Mapping[str, object]]) -> list[Any]:
        """Return all items of a list that may come in pages, or may refuse to be asked for them."""
        found = {str(item.get("id")): item for item in first}
        try:
            while True:
                asked = {"count": LARGEST_PAGE, "skip": len(found)}
                page = _items(self._sdk.order.payments(order_id, asked))
                new = {str(item.get("id")): item for item in page}
                if new.keys() <= found.keys():
                    return list(found.values())
                found |= new
        except RazorpayRefused:
            return list(found.values())  # it knows no pages: the first answer told all


def _items(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the items of a collection; raises `OutcomeUnknown` where it is none."""
    items = answer.get("items")
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise OutcomeUnknown("razorpay", "the list has no items")
    return items


def _checked(entity_id: str) -> str:
    """Return an id that may stand in a path; any other is asked of nobody."""
    if not _IS_ID(entity_id):
        raise GatewayNotFound("razorpay", "this is not a valid id", status=None)
    return entity_id
