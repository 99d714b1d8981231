"""Who is notified of what: endpoints, contacts, fan-out, sequence, and how often is tried.

Decides; `notify/` carries, `tasks/notices/` stands between.
"""

from billing.notices import (
    contacts,
    endpoints,
    mail_facts,
    mail_links,
    mail_queries,
    mail_queue,
    mail_switch,
    mails,
    renewal_offers,
    urls,
)
from billing.notices.answers import HEAD_BYTES, Answer, Attempted
from billing.notices.due import Due
from billing.notices.errors import (
    ContactExists,
    EndpointBusy,
    EndpointIsOff,
    InvalidContact,
    InvalidEndpoint,
    NotPlacedYet,
    TooManyContacts,
    UnknownContact,
    UnknownEndpoint,
    UnknownNotice,
)
from billing.notices.health import GONE, NO_SUCCESS
from billing.notices.leases import Lane, give_back, lease
from billing.notices.outcomes import finish
from billing.notices.placed import PlacedNotice
from billing.notices.placing import IS_A_TEST, FanOut, fan_out
from billing.notices.pull import CursorTooOld, Event, EventPage, events_after, last_position
from billing.notices.queries import (
    Notice,
    NoticeDetails,
    NoticeFilter,
    get_notice,
    list_notices,
)
from billing.notices.replays import Missed, replay
from billing.notices.testing import lease_test
from billing.notices.upkeep import review_endpoints

__all__ = [
    "Answer",
    "Attempted",
    "ContactExists",
    "CursorTooOld",
    "Due",
    "EndpointBusy",
    "EndpointIsOff",
    "Event",
    "EventPage",
    "FanOut",
    "GONE",
    "HEAD_BYTES",
    "IS_A_TEST",
    "InvalidContact",
    "InvalidEndpoint",
    "Lane",
    "Missed",
    "NO_SUCCESS",
    "NotPlacedYet",
    "Notice",
    "NoticeDetails",
    "NoticeFilter",
    "PlacedNotice",
    "TooManyContacts",
    "UnknownContact",
    "UnknownEndpoint",
    "UnknownNotice",
    "contacts",
    "endpoints",
    "events_after",
    "fan_out",
    "finish",
    "get_notice",
    "give_back",
    "last_position",
    "lease",
    "lease_test",
    "list_notices",
    "mail_facts",
    "mail_links",
    "mail_queries",
    "mail_queue",
    "mail_switch",
    "mails",
    "renewal_offers",
    "replay",
    "review_endpoints",
    "urls",
]
