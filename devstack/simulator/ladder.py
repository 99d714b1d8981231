"""When a webhook that was not taken is sent again, as measured at the real gateways.

Razorpay: a public measurement of 796 test-mode deliveries. Beside the exponential ladder, events
of payments and orders are sent again at once if the answer was 5xx or the connection broke, but
not after a 4xx or a time-out. Gaps count from the end of the attempt before.
Stripe publishes no figures but "three tries over a few hours" for a sandbox; ours are a guess.
"""

from itertools import pairwise
from typing import Literal

Outcome = Literal["taken", "server error", "refused", "dropped", "timed out"]
"""Of one attempt: 2xx, 5xx, any other status, no answer at all, no answer in time."""

RAZORPAY_SECONDS = (
    6, 19, 40, 82, 165, 326, 650, 1294, 2577, 5140, 10268, 20508, 40989, 81953,
)  # fmt: skip
"""After the first delivery, if each attempt fails at once."""
AT_ONCE_SECONDS = 0.23
STRIPE_GAPS = (3600.0, 7200.0)


def razorpay_gaps(event: str, first: Outcome) -> list[float]:
    """Return the waits before the second, third ... attempt, in seconds of the real gateway."""
    gaps = [float(RAZORPAY_SECONDS[0])]
    gaps += [float(later - earlier) for earlier, later in pairwise(RAZORPAY_SECONDS)]
    if event.startswith(("payment.", "order.")) and first in {"server error", "dropped"}:
        return [AT_ONCE_SECONDS, gaps[0] - AT_ONCE_SECONDS, *gaps[1:]]
    return gaps


def stripe_gaps(_event: str, _first: Outcome) -> list[float]:
    """Return the waits before the second and the third attempt."""
    return list(STRIPE_GAPS)
