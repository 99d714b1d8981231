"""The switches: how badly the simulated gateways behave. Set at start and changed at run time.

A number from 0 to 1 is a probability, rolled for each request, event or payment from the seed.
Times are those of the real gateway; `speed` divides them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]


class SwitchError(ValueError):
    """No such switch, or a value it does not take; the message names it."""


class Switches(BaseModel):
    """All switches, at their values of good behaviour."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    speed: Annotated[float, Field(gt=0)] = 60
    """How many times faster than in life the waits below and those of the retry ladder pass."""

    # Webhooks
    duplicates: Probability = 0
    """An event is sent once more: same id, same bytes. Half of them at the same time, half when
    the first was taken."""
    shuffle: Probability = 0
    """An event is held back up to `shuffle_seconds`, so that later ones overtake it."""
    shuffle_seconds: Seconds = 120
    drops: Probability = 0
    """An event is never sent."""
    old_secret: Probability = 0
    """An event is signed with the secret before the last change."""
    disable_webhooks: bool = False
    """A URL that never took an event gets no more, until it is set again."""

    # Answers of the API
    rate_limited: Probability = 0
    """Answered 429, nothing done."""
    bad_gateway: Probability = 0
    """Answered 502 as JSON."""
    html_answer: Probability = 0
    """Answered 503 with a page of HTML."""
    fault_after_effect: Probability = 0
    """What of 502 and 503 comes after the request was carried out, instead of before."""
    lost_response: Probability = 0
    """POST and PATCH are carried out, then the connection is closed without an answer."""
    slow_answer: Probability = 0
    slow_answer_seconds: Seconds = 10
    """As it is: not divided by `speed`, for what waits is the product's own time-out."""
    list_lag_seconds: Seconds = 0
    """`GET /payments` shows a payment only when it is as old as that; Razorpay lags by minutes."""
    unique_receipt: bool = True
    """Off: the field is not known yet, and answered with `extra_field_sent`."""

    # Payments
    authorized_only: Probability = 0
    """A payment is left authorized, whatever the order says of capture."""
    late_authorization: Probability = 0
    """A successful payment fails first and is authorized and captured later."""
    late_authorization_seconds: Seconds = 600
    second_payment: Literal["auto_refund", "refuse", "capture"] = "auto_refund"
    """What becomes of a payment on a paid order. `capture` is what should not happen."""
    short_payment: Probability = 0
    """A payment is of half the amount."""
    other_currency: Probability = 0
    """A payment is in USD."""
    foreign_payment: Probability = 0
    """Beside a payment comes one that is not ours: without an order, or with an unknown one."""

    # Refunds
    refund_state: Literal["processed", "pending", "failed"] = "processed"
    """`pending` becomes processed, `failed` is pending first, both after `refund_seconds`."""
    refund_seconds: Seconds = 300
    refund_in_progress: Probability = 0
    """A refund with an idempotency key is answered 409, as if its twin were under way."""
    low_balance: bool = False
    """Refunds are refused for want of money."""

    def changed(self, changes: dict[str, object]) -> "Switches":
        """Return the switches with some changed; raises `SwitchError`."""
        try:
            return Switches.model_validate(self.model_dump() | changes)
        except ValidationError as error:
            raise SwitchError(
                "; ".join(
                    f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                    for problem in error.errors()
                )
            ) from None


def parse(text: str) -> Switches:
    """Read `drops=0.1,speed=600`; raises `SwitchError`."""
    pairs = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise SwitchError(f"{wrong[0]}: write name=value")
    return Switches().changed(
        {k.strip(): v.strip() for k, _, v in (p.partition("=") for p in pairs)}
    )
