"""All topics with what the catalogue says of each, and what of a notice leaves the system."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from billing import catalog
from billing.topics import balances, disputes, leads, operations, payments, plans, returns
from billing.topics.entry import Audience, Entry
from billing.topics.names import Topic

_SUBJECTS = (balances, leads, disputes, payments, returns, plans, operations)
_ENTRIES = {topic: entry for subject in _SUBJECTS for topic, entry in subject.ENTRIES.items()}

CATALOGUE: Mapping[Topic, Entry] = MappingProxyType({topic: _ENTRIES[topic] for topic in Topic})
"""Every topic, in the order of `Topic`."""

PLATFORM_TOPICS: tuple[Topic, ...] = tuple(
    topic
    for topic, entry in CATALOGUE.items()
    if Audience.PLATFORM in entry.audiences and topic is not Topic.ENDPOINT_TEST
)
"""The topics that an endpoint and `GET /v1/events` can ask for."""


def data_of(
    topic: Topic, payload: Mapping[str, Any], *, account: str | None, sequence: int | None
) -> dict[str, Any]:
    """Return the `data` of a notice as it is sent: the declared fields of its topic, in order.

    `account` is the reference of the account that the notice is about. A notice about an account
    that is not known keeps the reference that its payload has. What the topic does not declare
    stays here: that is how nobody's words or addresses leave.
    """
    known = {**payload, "sequence": sequence}
    if account is not None:
        known["account"] = account
    return {name: known.get(name) for name in CATALOGUE[topic].fields}


_ABOUT_LEADS = (Topic.LEAD_CONFLICT, Topic.LEAD_REFUSED)


def product_without_account(topic: Topic) -> str | None:
    """Return the product whose endpoints hear of a notice about no account that is known.

    A refused lead concerns the platform that sends leads, if the catalog has one product for them.
    With several, nobody can say which platform's account and lead it names: none is notified.
    """
    return catalog.get().lead_product if topic in _ABOUT_LEADS else None
