"""What a simulator is started with; everything else is a switch (`switches.py`)."""

from dataclasses import dataclass, field

import settings
from devstack.errors import DevstackError
from devstack.simulator.post import is_web_address
from devstack.simulator.switches import Switches


@dataclass(frozen=True)
class Config:
    """Addresses and secrets, which the product under development is given too."""

    host: str = "127.0.0.1"
    port: int = 8009
    """0 takes a free one."""
    seed: int = 1

    razorpay_key_id: str = "rzp_test_simulator"
    razorpay_key_secret: str = field(default="simulator_key_secret", repr=False)
    razorpay_webhook_secrets: tuple[str, ...] = field(
        default=("simulator_webhook_secret",), repr=False
    )
    """The one that signs, then the one before it, for the switch `old_secret`."""
    razorpay_webhook_urls: tuple[str, ...] = ()

    stripe_api_key: str = field(default="sk_test_simulator", repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(
        default=("whsec_simulator_webhook_secret",), repr=False
    )
    stripe_webhook_urls: tuple[str, ...] = ()

    webhook_timeout_seconds: float = 5
    """An answer that takes longer counts as none: razorpay.com/docs/webhooks/best-practices."""
    switches: Switches = field(default_factory=Switches)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; raises `DevstackError`."""
        keys = (self.razorpay_key_id, self.stripe_api_key)
        if any(map(settings.is_live_key, keys)):
            raise DevstackError(
                "a live key was given to the simulator: unset it, or use a key of test mode"
            )
        for url in (*self.razorpay_webhook_urls, *self.stripe_webhook_urls):
            if not is_web_address(url):
                raise DevstackError(f"{url!r} is no http address to send webhooks to")
        if self.switches.old_secret and len(self.razorpay_webhook_secrets) < 2:
            raise DevstackError("old_secret: RAZORPAY_WEBHOOK_SECRETS holds only one secret")
        if not self.razorpay_webhook_secrets or not self.stripe_webhook_secrets:
            raise DevstackError("the simulator needs a webhook secret for each gateway")
