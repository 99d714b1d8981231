"""The notices of leads; written by `billing/leads/` (statements, parking, refusals)."""

from typing import Annotated

from pydantic import Field

from billing.topics.entry import AccountData, Audience, Data, Entry, entry
from billing.topics.names import Topic


class Lead(AccountData):
    """What became of a lead."""

    lead_id: Annotated[str, Field(description="the platform's id of the lead")]
    credits: Annotated[int, Field(description="what the lead costs, in credits")]


class RefusedLead(Data):
    """A request for a lead that was refused."""

    account: Annotated[str, Field(description="the reference in the request")]
    lead_id: Annotated[str, Field(description="the platform's id of the lead")]
    reason: Annotated[
        str,
        Field(
            description="the name of the refusal, such as `UnknownAccount` or `IdempotencyConflict`"
        ),
    ]


_LEAD = {"lead_id": "L-17", "credits": 180}

ENTRIES: dict[Topic, Entry] = {
    Topic.LEAD_CHARGED: entry(
        Lead,
        "A lead was charged.",
        Audience.PLATFORM,
        why="One for every lead, most of which the platform has asked for itself: who wants it"
        " names it. A customer would drown in it.",
        high_volume=True,
        example=_LEAD,
    ),
    Topic.LEAD_PARKED: entry(
        Lead,
        "The account cannot pay for the lead: it waits until credit comes.",
        Audience.PLATFORM,
        Audience.CUSTOMER,
        why="The platform must not hand the lead out; the customer learns once a day what waits.",
        example=_LEAD,
    ),
    Topic.LEAD_RELEASED: entry(
        Lead,
        "Credit came, and a parked lead was charged.",
        Audience.PLATFORM,
        why="The platform may hand the lead out now.",
        example=_LEAD,
    ),
    Topic.LEAD_CANCELLED: entry(
        Lead,
        "An operator cancelled a parked lead: it costs nothing and will not be charged.",
        Audience.PLATFORM,
        why="The platform may give the lead to another account.",
        example=_LEAD,
    ),
    Topic.LEAD_REFUNDED: entry(
        Lead,
        "The credit of a charged lead was given back.",
        Audience.PLATFORM,
        why="The platform shows it; a customer who disputed the lead hears of the decision.",
        example=_LEAD,
    ),
    Topic.LEAD_CONFLICT: entry(
        RefusedLead,
        "A lead came again with another account or package price: the first request stands.",
        Audience.PLATFORM,
        why="A mistake in the platform's own requests.",
        example={
            "account": "clinic:42",
            "sequence": 17,
            "lead_id": "L-17",
            "reason": "IdempotencyConflict",
        },
    ),
    Topic.LEAD_REFUSED: entry(
        RefusedLead,
        "A request for a lead was refused and left no row, such as that of an unknown account.",
        Audience.PLATFORM,
        why="A mistake in the platform's own requests. If the account is not known, the product"
        " that is charged for leads hears of it; if several are, none.",
        example={
            "account": "clinic:43",
            "sequence": None,
            "lead_id": "L-18",
            "reason": "UnknownAccount",
        },
    ),
}
