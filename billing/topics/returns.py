"""The notices of refunds and chargebacks.

Written by `billing/returns/refund_lifecycle.py` and `billing/returns/chargebacks.py`. What somebody
wrote as the reason of a refund is in none of them.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from billing.topics.entry import Audience, Data, Entry, entry
from billing.topics.names import Topic


class Refund(Data):
    """A refund in the state that the topic names; perhaps of money whose account is not known."""

    refund_id: Annotated[int, Field(description="as in the API's routes of refunds")]
    state: Annotated[str, Field(description="the state that the topic names")]
    payment: Annotated[str, Field(description="the gateway's id of the payment")]
    amount_paise: Annotated[int, Field(description="in paise")]
    gateway_refund_id: Annotated[
        str | None, Field(description="the gateway's id of the refund, once it has one")
    ]


class Chargeback(Data):
    """A chargeback in the state that the topic names; perhaps of money whose account is unknown."""

    state: Annotated[str, Field(description="the state that the topic names")]
    payment: Annotated[str, Field(description="the gateway's id of the payment")]
    dispute: Annotated[str, Field(description="the gateway's id of the chargeback")]
    amount_paise: Annotated[int, Field(description="in paise")]
    moves_money: Annotated[bool, Field(description="false: the bank only asks, and takes nothing")]


class AnsweredChargeback(Chargeback):
    """A chargeback that somebody has to answer, or has answered."""

    respond_by: Annotated[
        datetime | None, Field(description="when the gateway must have the answer")
    ]


_ACCOUNT = {"account": "clinic:42", "sequence": 17}
_REFUND = {
    **_ACCOUNT,
    "refund_id": 17,
    "payment": "pay_QkB7xVw2mT9dLs",
    "amount_paise": 500_000,
}
_WITHOUT_ID = {**_REFUND, "gateway_refund_id": None}
_WITH_ID = {**_REFUND, "gateway_refund_id": "rfnd_QkC1sWb8hG5kNa"}
_CHARGEBACK = {
    **_ACCOUNT,
    "payment": "pay_QkB7xVw2mT9dLs",
    "dispute": "disp_QkD4tXc6jH2mPq",
    "amount_paise": 500_000,
    "moves_money": True,
}
_CREDIT = "It takes or gives back credit, and the platform shows why."
_ANSWER = (
    "A step of the operators' answer to the bank. The platform hears when a chargeback begins and"
    " how it ends."
)
_STEPS = "A step of the way: the platform shows it to whoever asked for the refund."

ENTRIES: dict[Topic, Entry] = {
    Topic.REFUND_REQUESTED: entry(
        Refund,
        "A refund was asked for. Its credit is reserved.",
        Audience.PLATFORM,
        why=_STEPS,
        example={**_WITHOUT_ID, "state": "requested"},
    ),
    Topic.REFUND_SUBMITTED: entry(
        Refund,
        "The gateway accepted a refund, and has not decided it.",
        Audience.PLATFORM,
        why=_STEPS,
        example={**_WITH_ID, "state": "submitted"},
    ),
    Topic.REFUND_UNKNOWN: entry(
        Refund,
        "The gateway did not answer clearly. It is asked again until it does.",
        Audience.PLATFORM,
        why="The platform must not ask for the refund again: the next notice says what became of"
        " it.",
        example={**_WITHOUT_ID, "state": "unknown"},
    ),
    Topic.REFUND_PROCESSED: entry(
        Refund,
        "The gateway has sent the money of a refund. Its credit is taken.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why="It is the customer's money.",
        example={**_WITH_ID, "state": "processed"},
    ),
    Topic.REFUND_FAILED: entry(
        Refund,
        "A refund failed. Its credit is given back.",
        Audience.PLATFORM,
        why="Whoever asked for the refund has to decide what comes next, then tells the customer.",
        example={**_WITHOUT_ID, "state": "failed"},
    ),
    Topic.CHARGEBACK_OPEN: entry(
        Chargeback,
        "A customer's bank took a payment back, or asks about it. What it brought is held.",
        Audience.PLATFORM,
        Audience.OPERATOR,
        why=_CREDIT + " An operator answers the bank.",
        example={**_CHARGEBACK, "state": "open"},
    ),
    Topic.CHARGEBACK_UNDER_REVIEW: entry(
        AnsweredChargeback,
        "The bank has the answer to a chargeback and decides.",
        Audience.OPERATOR,
        why=_ANSWER,
        example={**_CHARGEBACK, "state": "under_review", "respond_by": "2026-12-01T18:29:59+00:00"},
    ),
    Topic.CHARGEBACK_ACTION_REQUIRED: entry(
        AnsweredChargeback,
        "The gateway wants more evidence against a chargeback.",
        Audience.OPERATOR,
        why=_ANSWER,
        example={
            **_CHARGEBACK,
            "state": "action_required",
            "respond_by": "2026-12-01T18:29:59+00:00",
        },
    ),
    Topic.CHARGEBACK_WON: entry(
        Chargeback,
        "The bank decided for us: the payment stands. What was held is free again.",
        Audience.PLATFORM,
        Audience.OPERATOR,
        why=_CREDIT,
        example={**_CHARGEBACK, "state": "won"},
    ),
    Topic.CHARGEBACK_LOST: entry(
        Chargeback,
        "The bank decided for the customer: what the payment brought is taken.",
        Audience.PLATFORM,
        Audience.OPERATOR,
        why=_CREDIT,
        example={**_CHARGEBACK, "state": "lost"},
    ),
    Topic.CHARGEBACK_CLOSED: entry(
        Chargeback,
        "A chargeback ended without a decision. What was held is free again.",
        Audience.PLATFORM,
        Audience.OPERATOR,
        why=_CREDIT,
        example={**_CHARGEBACK, "state": "closed"},
    ),
}
