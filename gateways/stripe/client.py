"""Stripe, through its SDK: sessions as orders, refunds, disputes. Made by `gateways/registry.py`.

A session is paid on Stripe's own page, and its PaymentIntent is the payment. The SDK's retries are
off: callers try again, under the same idempotency key. How a call may end: `transport.py` and
`answers.py`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import stripe

from billing.payments import GatewayName, OrderFacts, PaymentFacts, Seen
from billing.returns import DisputeFacts, RefundFacts
from gateways import transport
from gateways.errors import GatewayKeyRefused, GatewayNotFound, GatewayRefused
from gateways.protocol import NewOrder
from gateways.stripe import refunds
from gateways.stripe.answers import Session, as_dict, pages, sdk_errors_translated
from gateways.stripe.payment_facts import intent_facts, session_facts
from gateways.stripe.refund_facts import dispute_facts, refund_facts
from gateways.transport import checked_id

# It would have the SDK print whole answers, with the payer's name and address, past our logging.
vars(import_module("stripe._util"))["STRIPE_LOG"] = None

MOST_REFUNDS = 20_000
"""At most so many refunds of a few days are read."""
MOST_DISPUTES = 5_000
"""At most so many disputes of half a year are read."""
MOST_SESSIONS = 1_000
"""At most so many are looked through for a receipt: Stripe cannot search sessions by it."""
SEARCHED = (
    (timedelta(minutes=-10), timedelta(hours=1)),
    (timedelta(hours=1, seconds=1), timedelta(days=1)),
)
"""When a session may have been opened, as seen from `opened_at`; the likely time first."""
_IS_KEY = re.compile("[!-~]+").fullmatch


class StripeGateway:
    """`gateways.protocol.Gateway` for Stripe; may be used by several threads at once."""

    name: GatewayName = "stripe"
    public_key = ""
    """The page is Stripe's: a browser of ours needs none."""

    def __init__(
        self, api_key: str, *, api_base: str, timeout: tuple[float, float] = transport.TIMEOUT
    ) -> None:
        """Connect to nothing yet; `timeout` is (connect, read) in seconds.

        Raises `GatewayKeyRefused` for a key that no header can carry.
        """
        if not _IS_KEY(api_key):  # http.client would say so with the key in its error
            raise GatewayKeyRefused("stripe", Session.key_variables)
        client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base},
            http_client=stripe.RequestsClient(session=Session(api_base, timeout)),
            max_network_retries=0,
        )
        # Their types are those of literal dicts: ours are checked by the tests.
        self._sessions: Any = client.v1.checkout.sessions
        self._intents: Any = client.v1.payment_intents
        self._refunds: Any = client.v1.refunds
        self._disputes: Any = client.v1.disputes

    def open_order(self, order: NewOrder) -> OrderFacts:
        """Open a Checkout Session; a repeat within Stripe's day for keys returns the first.

        Raises `GatewayRefused` for a repeat that asks for anything else.
        """
        ours = {"receipt": order.receipt, "account": order.account}
        price = {
            "currency": order.currency.lower(),
            "unit_amount": order.amount_paise,
            "product_data": {"name": order.title},
        }
        asked: dict[str, object] = {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "client_reference_id": order.receipt,
            "metadata": ours,
            # Stripe does not copy it, and a refund or a dispute names the intent alone.
            "payment_intent_data": {"metadata": ours},
        }
        if order.return_url:
            asked["success_url"] = _coming_back(
                order.return_url, "payment=success&session_id={CHECKOUT_SESSION_ID}"
            )
            asked["cancel_url"] = _coming_back(order.return_url, "payment=cancelled")
        with sdk_errors_translated():
            session = self._sessions.create(asked, {"idempotency_key": order.receipt})
            return session_facts(as_dict(session))[0]

    def find_order(self, receipt: str, *, opened_at: datetime) -> OrderFacts | None:
        """Return the session with our receipt, opened from 10 minutes before to a day after.

        Raises `OutcomeUnknown` if too many were opened in that time to look at them all.
        """
        with sdk_errors_translated():
            for earliest, latest in SEARCHED:
                for session in self._opened(opened_at + earliest, opened_at + latest):
                    if _is_of(receipt, session):
                        return session_facts(session)[0]
        return None

    def order(self, order_id: str) -> OrderFacts:
        """Return a session; raises `GatewayNotFound`."""
        with sdk_errors_translated():
            return session_facts(as_dict(self._sessions.retrieve(checked_id("stripe", order_id))))[
                0
            ]

    def payments_of(self, order_id: str) -> Sequence[PaymentFacts]:
        """Return the one payment of a session, or none if nobody has tried yet."""
        expand = {"expand": ["payment_intent.latest_charge"]}
        with sdk_errors_translated():
            session = as_dict(self._sessions.retrieve(checked_id("stripe", order_id), expand))
            _, payment = session_facts(session)
        return [payment] if payment else []

    def payment(self, payment_id: str) -> PaymentFacts:
        """Return a PaymentIntent, without its order's id; raises `GatewayNotFound`."""
        expand = {"expand": ["latest_charge"]}
        with sdk_errors_translated():
            return intent_facts(
                as_dict(self._intents.retrieve(checked_id("stripe", payment_id), expand))
            )

    def capture(self, payment: PaymentFacts) -> PaymentFacts:
        """Capture an intent in full; one that is already captured is returned as it is."""
        payment_id = checked_id("stripe", payment.payment_id)
        try:
            with sdk_errors_translated():
                return intent_facts(as_dict(self._intents.capture(payment_id)))
        except GatewayNotFound:
            raise
        except GatewayRefused:
            now = self.payment(payment_id)
            if now.seen is Seen.CAPTURED:
                return now
            raise

    def refund(
        self,
        payment_id: str,
        *,
        amount_paise: int,
        currency: str,  # noqa: ARG002
        receipt: str,
    ) -> RefundFacts:
        """Refund a part or all; a repeat under one receipt returns the first.

        It goes back in the payment's own currency: Stripe takes none. Raises
        `GatewayRefused` also for a receipt of another amount.
        """
        return refunds.refund(self._refunds, payment_id, amount_paise=amount_paise, receipt=receipt)

    def refunds_of(self, payment_id: str) -> Sequence[RefundFacts]:
        """Return every refund of a payment, also those of Stripe's dashboard."""
        return refunds.refunds_of(self._refunds, payment_id)

    def refunds(self, *, since: datetime) -> Sequence[RefundFacts]:
        """Return every refund of an intent that was started since then."""
        asked = {"created": {"gte": int(since.timestamp())}}
        with sdk_errors_translated():
            listed = pages(self._refunds.list, asked, most=MOST_REFUNDS, what="refunds")
            return [refund_facts(found) for found in listed if found.get("payment_intent")]

    def dispute(self, dispute_id: str) -> DisputeFacts:
        """Return a dispute or an inquiry; raises `GatewayNotFound`."""
        with sdk_errors_translated():
            return dispute_facts(as_dict(self._disputes.retrieve(checked_id("stripe", dispute_id))))

    def disputes(self, *, since: datetime) -> Sequence[DisputeFacts]:
        """Return every dispute and inquiry of an intent that was opened since then."""
        asked = {"created": {"gte": int(since.timestamp())}}
        with sdk_errors_translated():
            listed = pages(self._disputes.list, asked, most=MOST_DISPUTES, what="disputes")
            return [dispute_facts(found) for found in listed if found.get("payment_intent")]

    def is_signed_by_gateway(self, order_id: str, payment_id: str, signature: str) -> bool:  # noqa: ARG002
        """Return False: Stripe's page hands nothing signed to the browser."""
        return False

    def _opened(self, earliest: datetime, latest: datetime) -> Iterator[dict[str, Any]]:
        """Return the sessions opened in a time, newest first."""
        created = {"gte": int(earliest.timestamp()), "lte": int(latest.timestamp())}
        asked = {"created": created}
        return pages(self._sessions.list, asked, most=MOST_SESSIONS, what="sessions")


def _is_of(receipt: str, session: Mapping[str, Any]) -> bool:
    """Tell whether a session may be ours, before it is read strictly: others are no concern."""
    metadata = session.get("metadata") or {}
    return receipt in (session.get("client_reference_id"), metadata.get("receipt"))


def _coming_back(return_url: str, query: str) -> str:
    """Return the address that the customer returns to, with the outcome; braces stay."""
    address, hash_sign, fragment = return_url.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{query}{hash_sign}{fragment}"
