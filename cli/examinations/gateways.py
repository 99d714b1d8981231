"""The gateways: whether one is set up, wholly, and not with real money on a development stack."""

from collections.abc import Iterator

import settings
from cli.examinations.diagnosis import Diagnosis, attention, broken, well
from settings import Settings


def examine(known: Settings) -> Iterator[Diagnosis]:
    """Yield what is set up of each gateway."""
    razorpay = bool(known.razorpay_key_id), bool(known.razorpay_webhook_secrets)
    stripe = bool(known.stripe_api_key.get_secret_value()), bool(known.stripe_webhook_secrets)
    if not (razorpay[0] or stripe[0]):
        yield attention(
            "gateways", "none is set up: nobody can pay", "set RAZORPAY_KEY_ID and _SECRET"
            " or STRIPE_API_KEY",
        )  # fmt: skip
    for name, (has_key, has_secret) in (("razorpay", razorpay), ("stripe", stripe)):
        secrets = f"{name.upper()}_WEBHOOK_SECRETS"
        if has_key and not has_secret:
            detail = "has no webhook secret: payments are found by asking alone, and late"
            yield attention(name, detail, f"set {secrets} to that of the gateway's webhook")
        elif has_secret and not has_key:
            detail = "has a webhook secret and no key: payments cannot be asked for"
            yield attention(name, detail, "set its key, or unset the secret")
        elif has_key:
            yield well(name, "has a key and a webhook secret")
    keys = {
        "RAZORPAY_KEY_ID": known.razorpay_key_id,
        "STRIPE_API_KEY": known.stripe_api_key.get_secret_value(),
    }
    live = [variable for variable, key in keys.items() if settings.is_live_key(key)]
    if live and settings.stack_file(known.billing_data_dir).exists():
        yield broken(
            "live keys",
            f"{' and '.join(live)} moves real money, and a development stack is up in"
            f" {known.billing_data_dir}",
            "use test keys here, or stop the stack",
        )
