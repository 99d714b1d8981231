"""`/v1/events` and `/v1/event-types`: what happened, for platforms to read in its order.

The same notices that endpoints are sent (docs/reference/notices.md). A page begins after a
position: positions are given in the order of commits, so a reader misses nothing.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPMethod
from typing import Annotated, Any, Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

import clock
import settings
from api import auth
from api.examples import UNKNOWN_ACCOUNT, Example, Refused
from api.fields import Ref, number_in
from api.problems import Refusal, bad_field
from api.routes import route
from billing import notices, topics
from billing.topics import CATALOGUE, PLATFORM_TOPICS, Topic
from db.session import snapshot

MOST_EVENTS = 500
MOST_TYPES = 100

_LATEST = "latest"

events = APIBlueprint("events", __name__, url_prefix="/v1", abp_tags=[Tag(name="events")])


def _split(value: object) -> object:
    """Return the names of a repeated parameter, each of which may hold several with commas."""
    if not isinstance(value, list):
        return value
    return [name.strip() for text in value for name in str(text).split(",")]


def _position(value: object) -> int | str:
    number = _LATEST if value == _LATEST else number_in(value)
    if number is None:
        raise ValueError(f"must be the `next` of an earlier page, or {_LATEST}")
    return number


Types = Annotated[
    list[Annotated[str, Field(max_length=64)]],
    BeforeValidator(_split),
    Field(max_length=MOST_TYPES),
]


class EventQuery(BaseModel):
    """Where the page begins, and which events are wanted."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[
        int | Literal["latest"], BeforeValidator(_position, json_schema_input_type=str)
    ] = Field(
        default=0,
        description="`next` of an earlier page; left out: the oldest that is kept; `latest`: what"
        " happens from now on",
    )
    type: Types = Field(
        default=[],
        description="only of these types: names, or patterns such as `balance.*` and `*`; several"
        " with commas, or repeated. Without it, and by a pattern, high-volume types are left out",
    )
    account: Ref | None = Field(default=None, description="only about this account")
    limit: int = Field(default=100, ge=1, le=MOST_EVENTS, description="at most so many")


class Event(BaseModel):
    """Something that happened."""

    id: str = Field(description="the `webhook-id` of the same notice at an endpoint")
    type: str
    timestamp: datetime
    data: dict[str, Any] = Field(description="as the schema of its type says")


class Events(BaseModel):
    """Events in the order in which they happened."""

    events: list[Event]
    next: str = Field(description="`after` of the next request, also if there is none yet")
    more: bool = Field(description="whether to ask again at once; else in a while")


class EventTypeQuery(BaseModel):
    """Which types are wanted."""

    model_config = ConfigDict(extra="forbid")

    type: Types = Field(
        default=[], description="only these: names or patterns, as in `GET /v1/events`"
    )


class EventType(BaseModel):
    """One type of events."""

    type: str
    description: str
    high_volume: bool = Field(description="only who names it gets it")
    data_schema: dict[str, Any] = Field(description="JSON Schema (2020-12) of `data`")
    example: dict[str, Any] = Field(description="a `data`")


class EventTypes(BaseModel):
    """The types of events that platforms get."""

    event_types: list[EventType]


_NEVER_GIVEN = (
    "is beyond what happened: no page gave it out. Ask without it for the oldest event, or with"
    f" {_LATEST} for what happens from now on"
)
_NOT_KEPT = (
    "what followed this position is too old to be read: read anew what you keep of accounts, then"
    f" ask without `after` for the oldest event, or with {_LATEST} for what happens from now on"
)
_UNKNOWN_TYPE = "no topic is called 'balance.lwo': did you mean balance.low?"
_BAD_TYPE = Refused(
    422,
    "invalid-fields",
    f"type: {_UNKNOWN_TYPE}",
    {"errors": [{"field": "type", "detail": _UNKNOWN_TYPE}]},
    query={"type": "balance.lwo"},
)
_LOW = CATALOGUE[Topic.BALANCE_LOW]


@route(
    events,
    HTTPMethod.GET,
    "/events",
    scope="events:read",
    answers=Events,
    refusals=(404, 410),
    example=Example(
        query={"account": "clinic:42", "type": "payment.*", "limit": "1"},
        answer={
            "events": [
                {
                    "id": "ntc_1",
                    "type": "payment.captured",
                    "timestamp": "2026-11-21T10:01:00Z",
                    "data": {
                        "account": "clinic:42",
                        "sequence": 1,
                        "payment_id": "pay_RkXcP4mWz0sLhE",
                        "gateway": "razorpay",
                        "order_id": "order_RkXb1yQ2vT8aNd",
                        "state": "captured",
                        "reason": None,
                        "amount_paise": 1_000_000,
                        "currency": "INR",
                        "credits": 10_000,
                        "bonus_credits": 1_500,
                    },
                }
            ],
            "next": "1",
            "more": False,
        },
        refused=(_BAD_TYPE, replace(UNKNOWN_ACCOUNT, path={}, query={"account": "clinic:43"})),
    ),
)
def list_all(query: EventQuery) -> Events:
    """Read what happened, in its order, from a position on.

    Ask again with `after` = `next`: nothing is left out, and nothing comes twice. An empty page has
    a `next` as well. Each event is the notice that an endpoint gets, with the same id.

    A 410 `events-not-kept` says that what follows the position is too old to be read: ask without
    `after`, and read anew what you keep of accounts.
    """
    topics.check_patterns(query.type, PLATFORM_TOPICS)
    caller, known = auth.caller(), settings.get()
    kept = timedelta(days=known.events_kept_days)
    with snapshot(within_limits=True) as session:
        account_id = caller.account_id
        if query.account is not None:
            account_id = auth.account_in_reach(session, query.account).id
        last = notices.last_position(session)
        if query.after == _LATEST:
            return Events(events=[], next=str(last), more=False)
        if int(query.after) > last:
            raise bad_field("after", _NEVER_GIVEN)
        try:
            page = notices.events_after(
                session,
                after=int(query.after),
                types=query.type,
                product=caller.product,
                account_id=account_id,
                oldest=clock.now() - kept if kept else None,
                limit=query.limit,
            )
        except notices.CursorTooOld as error:
            raise Refusal(410, _NOT_KEPT, kind="events-not-kept") from error
    found = [
        Event(
            id=f"ntc_{event.notice_id}",
            type=event.topic,
            timestamp=event.created_at,
            data=dict(event.data),
        )
        for event in page.events
    ]
    return Events(events=found, next=str(page.next), more=page.more)


@route(
    events,
    HTTPMethod.GET,
    "/event-types",
    scope="events:read",
    answers=EventTypes,
    example=Example(
        query={"type": "balance.low"},
        answer={
            "event_types": [
                {
                    "type": "balance.low",
                    "description": _LOW.description,
                    "high_volume": False,
                    "data_schema": _LOW.schema,
                    "example": _LOW.example,
                }
            ]
        },
        refused=(_BAD_TYPE,),
    ),
)
def types(query: EventTypeQuery) -> EventTypes:
    """List the types of events, with the JSON Schema of their data and an example of each.

    A schema allows fields that it does not name: a type may gain some. All else of it stays, or
    gets another name.
    """
    topics.check_patterns(query.type, PLATFORM_TOPICS)
    named = set(query.type) or {topics.ALL}
    return EventTypes(
        event_types=[
            EventType(
                type=topic,
                description=CATALOGUE[topic].description,
                high_volume=CATALOGUE[topic].high_volume,
                data_schema=dict(CATALOGUE[topic].schema),
                example=dict(CATALOGUE[topic].example),
            )
            for topic in PLATFORM_TOPICS
            if named & {topic, topics.family(topic), topics.ALL}
        ]
    )
