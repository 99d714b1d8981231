"""The catalogue of notices: each topic's name, who it is for, and what its notices say.

`names.py` has the names; the entries stand by subject in `balances.py`, `leads.py`, `disputes.py`,
`payments.py`, `returns.py`, `plans.py` and `operations.py`. Platforms read the catalogue as
docs/reference/notices.md and `GET /v1/event-types`.

A notice may gain fields later, and its texts further values; what would break a receiver that
knows the notice as it is gets a topic of its own.
"""

from billing.topics.catalogue import CATALOGUE, PLATFORM_TOPICS, data_of, product_without_account
from billing.topics.entry import Audience, Entry
from billing.topics.names import Topic
from billing.topics.patterns import ALL, UnknownTopic, check_patterns, family, selected, selects

__all__ = [
    "CATALOGUE",
    "PLATFORM_TOPICS",
    "ALL",
    "Audience",
    "Entry",
    "Topic",
    "UnknownTopic",
    "check_patterns",
    "data_of",
    "family",
    "product_without_account",
    "selected",
    "selects",
]
