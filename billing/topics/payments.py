"""The notices of payments; written by `billing/payments/change_log.py`."""

from typing import Annotated

from pydantic import BaseModel, Field

from billing.topics.entry import AccountData, Audience, Data, Entry, entry
from billing.topics.names import Topic


class _Payment(BaseModel):
    """A payment in the state that the topic names."""

    payment_id: Annotated[str, Field(description="the gateway's id of the payment")]
    gateway: Annotated[str, Field(description="`razorpay` or `stripe`")]
    order_id: Annotated[str | None, Field(description="the gateway's id of the order")]
    state: Annotated[str, Field(description="the state that the topic names")]
    reason: Annotated[
        str | None, Field(description="why it was not credited, such as `amount_mismatch`")
    ]
    amount_paise: Annotated[int, Field(description="in paise")]
    currency: Annotated[str, Field(description="ISO 4217, such as `INR`")]
    credits: Annotated[int, Field(description="credits it brought, without the bonus")]
    bonus_credits: Annotated[int, Field(description="credits of the bonus")]


class CreditedPayment(_Payment, AccountData):
    """A payment that brought credit, or a year of a plan."""


class Payment(_Payment, Data):
    """A payment of which the account is perhaps not known."""


_NEEDS_A_PERSON = (
    "Only a person can say what the money is for. Once it is attached, the platform hears of a"
    " payment that was captured, or partially refunded."
)


def _example(state: str, *, reason: str | None = None, credits_: int = 0) -> dict[str, object]:
    return {
        "account": "clinic:42",
        "sequence": 17,
        "payment_id": "pay_QkB7xVw2mT9dLs",
        "gateway": "razorpay",
        "order_id": "order_QkB6pLr4nZ1cYe",
        "state": state,
        "reason": reason,
        "amount_paise": 500_000,
        "currency": "INR",
        "credits": credits_,
        "bonus_credits": credits_ // 10,
    }


ENTRIES: dict[Topic, Entry] = {
    Topic.PAYMENT_CAPTURED: entry(
        CreditedPayment,
        "The money of an order came, and its credit or its year of a plan with it.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why="The platform shows what was bought; the customer gets a receipt.",
        example=_example("captured", credits_=5_000),
    ),
    Topic.PAYMENT_PARTIALLY_REFUNDED: entry(
        CreditedPayment,
        "An operator attached a payment of which a part had been refunded already.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why="It brings credit as a captured payment does.",
        example=_example("partially_refunded", credits_=5_000),
    ),
    Topic.PAYMENT_FAILED: entry(
        Payment,
        "An attempt to pay failed. The order is still open; another attempt may succeed.",
        Audience.PLATFORM,
        why="The platform may offer to pay again. The customer saw it at the gateway.",
        example=_example("failed"),
    ),
    Topic.PAYMENT_UNMATCHED: entry(
        Payment,
        "Money came of which no order is known.",
        Audience.OPERATOR,
        why=_NEEDS_A_PERSON,
        example={
            **_example("unmatched", reason="no_order"),
            "account": None,
            "sequence": None,
            "order_id": None,
        },
    ),
    Topic.PAYMENT_QUARANTINED: entry(
        Payment,
        "Money came that does not pay its order: another amount or currency, or paid before.",
        Audience.OPERATOR,
        why=_NEEDS_A_PERSON,
        example=_example("quarantined", reason="amount_mismatch"),
    ),
}
