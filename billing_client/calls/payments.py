"""Money: orders, payments and refunds."""

from billing_client.call import Call, Page, get, given, list_of, post, reader_of
from billing_client.checks import (
    checked_account,
    checked_id,
    checked_paise,
    checked_text,
    checked_words,
)
from billing_client.errors import InvalidRequest
from billing_client.results import (
    Gateway,
    Order,
    Payment,
    PaymentState,
    Refund,
    VerifiedPayment,
)

RETURN_URL_MAX_LENGTH = 1_000


def place_order(
    account: str,
    gateway: Gateway | str,
    *,
    package: str | None,
    amount_paise: int | None,
    plan: str | None,
    return_url: str | None,
    idempotency_key: str | None,
) -> Call[Order]:
    """Open an order at a gateway."""
    fields = given(
        account=checked_account(account),
        gateway=checked_text("gateway", gateway),
        package=None if package is None else checked_text("package", package),
        amount_paise=_paise(amount_paise),
        plan=None if plan is None else checked_text("plan", plan),
        return_url=None if return_url is None else _web_address("return_url", return_url),
    )
    if len(fields.keys() & {"package", "amount_paise", "plan"}) != 1:
        raise InvalidRequest("package, amount_paise, plan: give exactly one of them")
    if gateway == Gateway.STRIPE and return_url is None:
        raise InvalidRequest("return_url: missing: Stripe's page sends the customer back to it")
    return post(
        "/v1/orders",
        reader_of(Order),
        fields=fields,
        idempotency_key=idempotency_key,
        ref=account,
    )


def order_status(order_id: str) -> Call[Order]:
    """Return an order as it is now."""
    return get("/v1/orders/{order_id}", reader_of(Order), order_id=checked_id("order_id", order_id))


def verify_payment(
    order_id: str,
    payment_id: str | None,
    signature: str | None,
    *,
    idempotency_key: str | None,
) -> Call[VerifiedPayment]:
    """Ask the gateway about the payment of an order."""
    if (payment_id is None) != (signature is None):
        raise InvalidRequest(
            "payment_id, signature: give both, which Razorpay's checkout hands over, or none"
        )
    fields = given(
        order_id=checked_id("order_id", order_id),
        payment_id=None if payment_id is None else checked_id("payment_id", payment_id),
        signature=None if signature is None else checked_id("signature", signature),
    )
    return post(
        "/v1/payments/verify",
        reader_of(VerifiedPayment),
        fields=fields,
        idempotency_key=idempotency_key,
        order_id=order_id,
    )


def payment_status(payment_id: str, *, gateway: Gateway | str | None) -> Call[Payment]:
    """Return a payment with its account and its refunds."""
    return get(
        "/v1/payments/{payment_id}",
        reader_of(Payment),
        query=given(gateway=None if gateway is None else checked_text("gateway", gateway)),
        payment_id=checked_id("payment_id", payment_id),
    )


def list_payments(account: str, *, state: PaymentState | str | None) -> Call[Page[Payment]]:
    """Return the payments of an account, newest first."""
    return list_of(
        "/v1/accounts/{ref}/payments",
        "payments",
        Payment,
        query=given(state=None if state is None else checked_id("state", state)),
        ref=checked_account(account),
    )


def refund_payment(
    payment_id: str, *, reason: str, amount_paise: int | None, idempotency_key: str | None
) -> Call[Refund]:
    """Give the money of a payment back."""
    fields = given(
        payment_id=checked_id("payment_id", payment_id),
        reason=checked_words("reason", reason),
        amount_paise=_paise(amount_paise),
    )
    return post(
        "/v1/refunds",
        reader_of(Refund),
        fields=fields,
        idempotency_key=idempotency_key,
        payment_id=payment_id,
    )


def refund_status(refund_id: str) -> Call[Refund]:
    """Return a refund as it is now."""
    return get(
        "/v1/refunds/{refund_id}",
        reader_of(Refund),
        refund_id=checked_id("refund_id", refund_id),
    )


def _paise(amount_paise: int | None) -> int | None:
    return None if amount_paise is None else checked_paise("amount_paise", amount_paise, least=1)


def _web_address(name: str, value: str) -> str:
    text = checked_text(name, value, RETURN_URL_MAX_LENGTH)
    if not text.startswith(("http://", "https://")) or not text.isascii() or " " in text:
        raise InvalidRequest(f"{name}: must be an http:// or https:// URL in ASCII, without spaces")
    return text
