"""Which payment gateways the stack works with: the simulator, or those whose keys a person set.

One rule: if no gateway has a key, the simulator plays both. A single key of either leaves it
out, and the other gateway is then not set up: real money and played money never meet in one run.
Called by `plan.py`, with the simulator's address once it is known.
"""

import os

import settings
from devstack.errors import DevstackError
from devstack.simulator.config import Config

SIMULATOR = "simulator"
"""The name of the process."""
SIMULATOR_COMMAND = (
    "python -m devstack.simulator --port ${SIMULATOR_PORT} --seed ${SIMULATOR_SEED:-$(date +%s)$$}"
)
"""The seed decides every id: a new one at each start, for the ledger knows the ids of the last."""

RAZORPAY = (
    "RAZORPAY_KEY_ID", "RAZORPAY_KEY_SECRET", "RAZORPAY_WEBHOOK_SECRETS", "RAZORPAY_API_BASE",
)  # fmt: skip
STRIPE = ("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRETS", "STRIPE_API_BASE")
VARIABLES = RAZORPAY + STRIPE
_KEYS = ("RAZORPAY_KEY_ID", "RAZORPAY_KEY_SECRET", "STRIPE_API_KEY")
_BASES = {"RAZORPAY_API_BASE": "RAZORPAY_KEY_ID", "STRIPE_API_BASE": "STRIPE_API_KEY"}


def are_simulated() -> bool:
    """Tell whether the environment leaves the gateways to the simulator.

    Raises `DevstackError` for the address of a gateway without a key.
    """
    if any(_is_set(variable) for variable in _KEYS):
        return False
    for base, key in _BASES.items():
        if _is_set(base):
            # Else what is paid at the simulator would be looked for elsewhere.
            raise DevstackError(
                f"{base} is set and {key} is not: set both for a gateway of yours, or neither for"
                " the simulator"
            )
    return True


def have_a_live_key() -> bool:
    """Tell whether the environment has a key with which real money moves."""
    return any(settings.is_live_key(os.environ.get(key, "")) for key in _KEYS)


def simulator_environment(url: str) -> dict[str, str]:
    """Return what the processes reach the simulator with, except for the webhook secrets."""
    return {
        "RAZORPAY_KEY_ID": Config.razorpay_key_id,
        "RAZORPAY_KEY_SECRET": Config.razorpay_key_secret,
        "RAZORPAY_API_BASE": url,
        "STRIPE_API_KEY": Config.stripe_api_key,
        "STRIPE_API_BASE": f"{url}/stripe",
    }


def _is_set(variable: str) -> bool:
    return bool(os.environ.get(variable, "").strip())
