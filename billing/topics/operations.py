"""The notices for those who run this system, and the test of an endpoint.

Written by `billing/accounts/review.py`, `billing/payments/gateway_heartbeat.py` and
`billing/notices/`.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from billing.topics.entry import AccountData, Audience, Data, Entry, entry
from billing.topics.names import Topic


class Review(AccountData):
    """An account that a person should look at."""

    review_reason: Annotated[
        str, Field(description="`chargeback`, `plan_refunded` or `disputes_most_leads`")
    ]


class SilentGateway(Data):
    """A gateway of which no webhook came for a while."""

    gateway: Annotated[str, Field(description="`razorpay` or `stripe`")]
    last_event_at: Annotated[datetime | None, Field(description="when the last one came")]


class HeardGateway(Data):
    """A gateway that is heard of again."""

    gateway: Annotated[str, Field(description="`razorpay` or `stripe`")]
    silent_since: Annotated[datetime, Field(description="when it was found to be silent")]


class Endpoint(Data):
    """An endpoint that notices do not reach."""

    endpoint_id: Annotated[int, Field(description="as in `billing notices endpoints`")]
    host: Annotated[str, Field(description="the name in its address")]
    product: Annotated[str | None, Field(description="the product that it is of")]
    reason: Annotated[str, Field(description="why, in our words")]


class TestedEndpoint(Data):
    """An endpoint that an operator tests."""

    endpoint_id: Annotated[int, Field(description="as in `billing notices endpoints`")]


_ENDPOINT = {"endpoint_id": 3, "host": "shop.example", "product": "clinic_leads"}
_OURS = "It concerns this system, not what platforms do with it."

ENTRIES: dict[Topic, Entry] = {
    Topic.ACCOUNT_REVIEW: entry(
        Review,
        "A person should look at an account. It works as before.",
        Audience.OPERATOR,
        why="A suspicion is no news for the platform, nor for the account itself.",
        example={"review_reason": "disputes_most_leads"},
    ),
    Topic.GATEWAY_SILENT: entry(
        SilentGateway,
        "An order waits for its payment, and no webhook came from its gateway for a while.",
        Audience.OPERATOR,
        why=_OURS,
        example={"gateway": "razorpay", "last_event_at": "2026-11-21T10:00:00+00:00"},
    ),
    Topic.GATEWAY_HEARD: entry(
        HeardGateway,
        "A webhook came from a gateway that had been silent.",
        Audience.OPERATOR,
        why=_OURS,
        example={"gateway": "razorpay", "silent_since": "2026-11-21T10:30:00+00:00"},
    ),
    Topic.ENDPOINT_FAILING: entry(
        Endpoint,
        "An endpoint has not accepted a notice for an hour.",
        Audience.OPERATOR,
        why="An endpoint that fails cannot hear of it.",
        example={**_ENDPOINT, "reason": "no success for an hour"},
    ),
    Topic.ENDPOINT_OFF: entry(
        Endpoint,
        "An endpoint was switched off: it answered 410, or accepted nothing for five days.",
        Audience.OPERATOR,
        why="An endpoint that is off cannot hear of it.",
        example={**_ENDPOINT, "reason": "it answered 410 Gone"},
    ),
    Topic.ENDPOINT_TEST: entry(
        TestedEndpoint,
        "An operator tests one endpoint.",
        Audience.PLATFORM,
        why="Only the endpoint that is tested gets it, whatever topics it asked for. No pull shows"
        " it.",
        example={"endpoint_id": 3},
    ),
}
