"""The notices of disputes of leads; written by `billing/disputes/notices.py`."""

from typing import Annotated

from pydantic import Field

from billing.topics.entry import AccountData, Audience, Entry, entry
from billing.topics.names import Topic


class Dispute(AccountData):
    """A dispute of a lead."""

    dispute_id: Annotated[int, Field(description="as in the API's routes of disputes")]
    lead_id: Annotated[str, Field(description="the platform's id of the lead")]


class OpenedDispute(Dispute):
    """A dispute that waits for an operator."""

    type: Annotated[str, Field(description="such as `wrong_number` or `duplicate`")]


class ResolvedDispute(Dispute):
    """A dispute that is decided or withdrawn."""

    state: Annotated[
        str, Field(description="`approved`, `partially_approved`, `rejected` or `withdrawn`")
    ]
    credits_refunded: Annotated[int, Field(description="credits given back, perhaps zero")]


_DISPUTE = {"dispute_id": 17, "lead_id": "L-17"}

ENTRIES: dict[Topic, Entry] = {
    Topic.DISPUTE_OPENED: entry(
        OpenedDispute,
        "A customer disputed a lead.",
        Audience.PLATFORM,
        Audience.OPERATOR,
        why="Several services of a platform may show it; an operator decides it."
        " What the customer wrote stays out.",
        example={**_DISPUTE, "type": "wrong_number"},
    ),
    Topic.DISPUTE_RESOLVED: entry(
        ResolvedDispute,
        "An operator decided a dispute, or it was withdrawn.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why="Whoever asked hears the answer. The operator's notes stay out: the API's route of the"
        " dispute has them.",
        example={**_DISPUTE, "state": "approved", "credits_refunded": 180},
    ),
}
