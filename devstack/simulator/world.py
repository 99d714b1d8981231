"""One simulator: its switches, its dice, its courier and what both gateways remember."""

import threading
from collections.abc import Callable

import clock
from devstack.simulator.chance import Chance
from devstack.simulator.config import Config
from devstack.simulator.courier import Courier
from devstack.simulator.razorpay.store import RazorpayStore
from devstack.simulator.stripe.store import StripeStore
from devstack.simulator.switches import Switches
from devstack.simulator.timers import Timers


class World:
    """Everything there is. Whoever reads or changes a store holds `lock`: `app.py` and `later`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.lock = threading.RLock()
        self.switches = config.switches
        self.razorpay_webhook_urls = config.razorpay_webhook_urls
        self.stripe_webhook_urls = config.stripe_webhook_urls
        self.timers = Timers()
        self.courier = Courier(self.timers, self._current, config.webhook_timeout_seconds)
        self.reset(config.seed)

    def reset(self, seed: int) -> None:
        """Forget every order, payment and delivery, and roll from `seed`; switches stay."""
        self.timers.forget()
        self.courier.forget()
        self.chance = Chance(seed)
        self.razorpay = RazorpayStore()
        self.stripe = StripeStore()

    def rolls(self, switch: str) -> bool:
        """Tell whether a switch that is a probability strikes this time."""
        return self.chance.happens(switch, getattr(self.switches, switch))

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Call `what` under the lock when `seconds` of the gateway's time have passed."""
        chance = self.chance

        def act() -> None:
            with self.lock:
                if self.chance is chance:  # else it belongs to a world that was reset
                    what()

        self.timers.later(seconds / self.switches.speed, act)

    def close(self) -> None:
        """Stop sending; return when nothing is under way."""
        self.timers.close()

    def _current(self) -> Switches:
        return self.switches


def unix_now() -> int:
    """Return the time as both gateways write it."""
    return int(clock.now().timestamp())
