"""The payment gateways by name: clients, made once per process, and readers of their webhooks.

Used by the receiver, API, tasks and commands; nobody else names a gateway's module. A client's
module, and its SDK, is imported when that gateway is first asked for: Stripe's SDK takes 20 MB in
each process, and the receiver and most workers never use it.
"""

import os
from functools import lru_cache
from typing import get_args

import settings
from billing.payments import GatewayName
from gateways.errors import GatewayNotConfigured, UnknownGateway
from gateways.protocol import Gateway, Webhooks
from gateways.razorpay import webhooks as razorpay_webhooks
from gateways.stripe import webhooks as stripe_webhooks

NAMES: tuple[GatewayName, ...] = get_args(GatewayName)

_WEBHOOKS: dict[GatewayName, Webhooks] = {
    "razorpay": razorpay_webhooks,
    "stripe": stripe_webhooks,
}


def by_name(name: str) -> Gateway:
    """Return a gateway, with the key of the environment; nothing is asked of it yet.

    Raises `UnknownGateway`, `GatewayNotConfigured` which names the variables to set, and
    `GatewayKeyRefused` for a key that cannot be one.
    """
    env = settings.get()
    if name == "razorpay":
        secret = env.razorpay_key_secret.get_secret_value()
        return _razorpay(env.razorpay_key_id, secret, env.razorpay_api_base)
    if name == "stripe":
        return _stripe(env.stripe_api_key.get_secret_value(), env.stripe_api_base)
    raise UnknownGateway(NAMES)


def configured() -> list[GatewayName]:
    """Return the names of the gateways that the environment has a key for."""
    env = settings.get()
    has_key = {
        "razorpay": bool(env.razorpay_key_id),
        "stripe": bool(env.stripe_api_key.get_secret_value()),
    }
    return [name for name in NAMES if has_key[name]]


def webhooks(name: GatewayName) -> Webhooks:
    """Return how a gateway's deliveries are verified and parsed."""
    return _WEBHOOKS[name]


def webhook_secrets(name: GatewayName) -> tuple[str, ...]:
    """Return the secrets that may have signed a gateway's deliveries; none if none is set."""
    env = settings.get()
    secrets = env.razorpay_webhook_secrets if name == "razorpay" else env.stripe_webhook_secrets
    return tuple(secret.get_secret_value() for secret in secrets)


@lru_cache(maxsize=1)
def _razorpay(key_id: str, key_secret: str, api_base: str) -> Gateway:
    if not key_id:
        raise GatewayNotConfigured("razorpay", "RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET")
    from gateways.razorpay.client import RazorpayGateway  # noqa: PLC0415 - see above

    return RazorpayGateway(key_id, key_secret, api_base=api_base)


@lru_cache(maxsize=1)
def _stripe(api_key: str, api_base: str) -> Gateway:
    if not api_key:
        raise GatewayNotConfigured("stripe", "STRIPE_API_KEY")
    from gateways.stripe.client import StripeGateway  # noqa: PLC0415 - see above

    return StripeGateway(api_key, api_base=api_base)


# A connection that a fork left in two processes would mix up their answers.
os.register_at_fork(after_in_child=_razorpay.cache_clear)
os.register_at_fork(after_in_child=_stripe.cache_clear)
