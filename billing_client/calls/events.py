"""What happened, read in its order, and the types of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from billing_client.call import Call, Page, get, given, list_of
from billing_client.checks import checked_account, checked_amount, checked_id
from billing_client.errors import InvalidRequest
from billing_client.exchange import Answer
from billing_client.notice_types import Notice, NoticePage
from billing_client.notices import notice_of
from billing_client.reading import Unreadable, read
from billing_client.results import EventType

T = TypeVar("T")

Topics = str | Iterable[str] | None
"""Names or patterns of topics, such as `balance.low` or `balance.*`."""


@dataclass(frozen=True, slots=True)
class _Event:
    id: str


@dataclass(frozen=True, slots=True)
class _Events:
    events: tuple[Any, ...]
    next: str
    more: bool


def list_events(*, after: str | None, topics: Topics, account: str | None) -> Call[Page[Notice]]:
    """Return what happened after a position, page by page."""
    call = _asking(lambda answer: _page_of(call, answer), after, topics, account)
    return call


def read_events(
    *, after: str | None, topics: Topics, account: str | None, limit: int | None
) -> Call[NoticePage]:
    """Return one page of what happened after a position."""
    size = None if limit is None else checked_amount("limit", limit)
    return _asking(_notices_in, after, topics, account, size)


def list_event_types(*, topics: Topics) -> Call[Page[EventType]]:
    """Return the types of events."""
    query = given(type=_patterns(topics))
    return list_of("/v1/event-types", "event_types", EventType, query=query)


def _asking(
    reader: Callable[[Answer], T],
    after: str | None,
    topics: Topics,
    account: str | None,
    limit: int | None = None,
) -> Call[T]:
    query = given(
        after=None if after is None else checked_id("after", after),
        type=_patterns(topics),
        account=None if account is None else checked_account(account),
        limit=limit,
    )
    about = {} if account is None else {"ref": account}
    return get("/v1/events", reader, query=query, **about)


def _patterns(topics: Topics) -> str | None:
    if topics is None:
        return None
    listed = [topics] if isinstance(topics, str) else list(topics)
    if not listed:
        raise InvalidRequest("topics: name one at least, or leave them out")
    return ",".join(checked_id("topics", one) for one in listed)


def _page_of(call: Call[Page[Notice]], answer: Answer) -> Page[Notice]:
    page = _notices_in(answer)
    if not page.more:
        return Page(page.notices, None)
    if page.next == call.query.get("after"):
        raise Unreadable("next is the page that was asked for")
    following = replace(
        call,
        query={**call.query, "after": page.next},
        reader=lambda later: _page_of(following, later),
    )
    return Page(page.notices, following)


def _notices_in(answer: Answer) -> NoticePage:
    page = read(_Events, answer.content)
    found = tuple(notice_of(read(_Event, one).id, one) for one in page.events)
    return NoticePage(found, page.next, page.more)
