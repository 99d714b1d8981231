"""The one form of every payment gateway: its client and the reader of its webhooks.

`gateways/registry.py` returns both by name. A call of the client is one request, or a few if
something must be looked up first; a request takes at most `CALL_SECONDS`. No call is made inside a
database transaction. Each may raise `GatewayRefused`, `GatewayKeyRefused`,
`GatewayUnavailable` or `OutcomeUnknown` (`gateways/errors.py`); SDK types and errors stay inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from billing.payments import GatewayName, OrderFacts, PaymentFacts
from billing.returns import DisputeFacts, RefundFacts
from gateways.events import Event

CONNECT_SECONDS = 3
READ_SECONDS = 8
"""For the answer to begin, and for each part of it to follow."""
CALL_SECONDS = CONNECT_SECONDS + READ_SECONDS


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to open at a gateway."""

    receipt: str
    """Ours, unique, at most 40 characters; makes a repeat of the call harmless."""
    amount_paise: int
    currency: str
    account: str
    """Reference of the account, for readers of the gateway's dashboard."""
    title: str
    """What the customer buys, in words for the payment page."""
    return_url: str | None = None
    """The page to return the customer to, for a gateway with a checkout page of its own."""


class Headers(Protocol):
    """The headers of a request, by name in any case."""

    def get(self, name: str, /) -> str | None:
        """Return the value of a header, or None if it was not sent."""


class Webhooks(Protocol):
    """How the deliveries of one gateway are read; its `webhooks.py` is one. Loads no SDK."""

    def verify(
        self, secrets: Sequence[str], *, body: bytes, headers: Headers, now: datetime
    ) -> None:
        """Check the signature of a raw body; raises `service.signatures.SignatureError`."""

    def event_id(self, body: bytes, headers: Headers) -> str | None:
        """Return the gateway's id of the event, None if it is missing; never raises."""

    def parse(self, body: bytes) -> Event:
        """Return what a verified body reports; raises `gateways.events.UnreadableEvent`."""


class Gateway(Protocol):
    """One payment gateway."""

    name: GatewayName
    public_key: str
    """What a browser needs to open the gateway's checkout; no secret."""

    def open_order(self, order: NewOrder) -> OrderFacts:
        """Open the order and return it; a repeat under the same receipt returns the first."""

    def find_order(self, receipt: str, *, opened_at: datetime) -> OrderFacts | None:
        """Return the order with our receipt, or None; `opened_at` is about when it was opened."""

    def order(self, order_id: str) -> OrderFacts:
        """Return an order by the gateway's id; raises `GatewayNotFound`."""

    def payments_of(self, order_id: str) -> Sequence[PaymentFacts]:
        """Return every payment made on an order, as of now."""

    def payment(self, payment_id: str) -> PaymentFacts:
        """Return one payment as of now; raises `GatewayNotFound`."""

    def capture(self, payment: PaymentFacts) -> PaymentFacts:
        """Capture an authorized payment in full and return it; one already captured is no error."""

    def refund(
        self, payment_id: str, *, amount_paise: int, currency: str, receipt: str
    ) -> RefundFacts:
        """Refund a captured payment in part or in full, once per receipt."""

    def refunds_of(self, payment_id: str) -> Sequence[RefundFacts]:
        """Return every refund of a payment, whoever started it, as of now."""

    def refunds(self, *, since: datetime) -> Sequence[RefundFacts]:
        """Return every refund that was started since then, of any payment, as of now."""

    def dispute(self, dispute_id: str) -> DisputeFacts:
        """Return a payer's dispute as of now; raises `GatewayNotFound`."""

    def disputes(self, *, since: datetime) -> Sequence[DisputeFacts]:
        """Return every payer's dispute that was opened since then, as of now."""

    def is_signed_by_gateway(self, order_id: str, payment_id: str, signature: str) -> bool:
        """Tell whether the gateway's checkout signed that this payment is for this order.

        Always False for a gateway whose checkout signs nothing. Makes no request.
        """
