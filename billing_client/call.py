"""`Call`: one operation of the back office, checked and ready to be sent by any client.

Sans I/O: the modules in `calls/` make calls, `wire.py` turns one into a request, a transport sends
it, and `Call.result` reads the answer. HOW TO ADD A RESOURCE stands in `calls/__init__.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

from billing_client.checks import checked_api_request_key
from billing_client.errors import InvalidRequest, UnexpectedAnswer, kind_of
from billing_client.exchange import Answer, Request
from billing_client.reading import Unreadable, read
from billing_client.refusals import error_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One operation: what is asked, and how its answer is read."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    route: str
    """The path as the OpenAPI document has it, such as `/v1/leads/{lead_id}`."""
    reader: Callable[[Answer], T]
    names: Mapping[str, str | int] = field(default_factory=dict)
    """What stands for the names in braces."""
    query: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] | None = field(default=None, repr=False)
    """The body; None: there is none."""
    idempotency_key: str | None = None
    about: Mapping[str, str | int] = field(default_factory=dict)
    """The ids that the call names, by the names of its arguments: errors carry them."""
    gone: str | None = None
    """The problem type that a repeat of what is already done gets; None: as the first one."""
    to: Literal["api", "receiver"] = "api"
    """The receiver takes signed events, the API requests with a key."""

    @property
    def path(self) -> str:
        """The path, with the names quoted."""
        quoted = {name: quote(str(one), safe="") for name, one in self.names.items()}
        return self.route.format(**quoted)

    @property
    def target(self) -> str:
        """The path and the query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def result(self, answer: Answer, request: Request) -> T:
        """Return what the answer says. Raises the error of a refusal, or `UnexpectedAnswer`."""
        done_before = answer.retried and kind_of(answer.problem) == self.gone
        if not answer.is_success and not done_before:
            raise error_of(answer, request, self.about)
        try:
            return self.reader(answer)
        except Unreadable as problem:
            error = UnexpectedAnswer(
                answer.status, f"the answer cannot be read: check api_url ({problem})"
            )
            error.request_id = answer.request_id
            error.idempotency_key = request.idempotency_key
            raise error from None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list. The clients walk over all of them; callers never see one."""

    items: tuple[T, ...]
    call: "Call[Page[T]] | None"
    """The call for the next page; None on the last."""


def get(
    route: str,
    reader: Callable[[Answer], T],
    *,
    query: Mapping[str, object] | None = None,
    **about: str | int,
) -> Call[T]:
    """Return a call that reads; `about` names what stands in the route, under its names there."""
    return Call(
        method="GET",
        route=route,
        names=_steps(route, about),
        query=_query(query or {}),
        about=_by_argument(about),
        reader=reader,
    )


def post(
    route: str,
    reader: Callable[[Answer], T],
    *,
    fields: Mapping[str, Any],
    idempotency_key: str | None,
    **about: str | int,
) -> Call[T]:
    """Return a call that changes something, under a key of its own unless one is given.

    `about` names what stands in the route, under its names there, and what else errors carry.
    Raises `InvalidRequest` if the key cannot stand in a header.
    """
    key = str(uuid4()) if idempotency_key is None else checked_api_request_key(idempotency_key)
    return Call(
        method="POST",
        route=route,
        names=_steps(route, about),
        fields=fields,
        idempotency_key=key,
        about=_by_argument(about),
        reader=reader,
    )


def patch(
    route: str, reader: Callable[[Answer], T], *, fields: Mapping[str, Any], **about: str | int
) -> Call[T]:
    """Return a call that sets absolute values: a repeat changes nothing, so it needs no key."""
    return Call(
        method="PATCH",
        route=route,
        names=_steps(route, about),
        fields=fields,
        about=_by_argument(about),
        reader=reader,
    )


def delete(route: str, *, gone: str, **about: str | int) -> Call[None]:
    """Return a call that removes something; `gone` is the problem type once it is not there."""
    return Call(
        method="DELETE",
        route=route,
        names=_steps(route, about),
        about=_by_argument(about),
        gone=gone,
        reader=lambda _: None,
    )


def list_of(
    route: str, name: str, kind: type[T], *, query: Mapping[str, object], **about: str | int
) -> Call[Page[T]]:
    """Return the call for the first page of a list, whose rows stand under `name`."""
    call: Call[Page[T]]

    def page(answer: Answer) -> Page[T]:
        return _page_of(call, name, kind, answer)

    call = Call(
        method="GET",
        route=route,
        names=_steps(route, about),
        query=_query(query),
        about=_by_argument(about),
        reader=page,
    )
    return call


def reader_of(kind: type[T]) -> Callable[[Answer], T]:
    """Return the reader of answers that are one result and nothing else."""
    return lambda answer: read(kind, answer.content)


def given(**fields: object) -> dict[str, Any]:
    """Return the fields without those that are None, which are left out of a request."""
    return {name: value for name, value in fields.items() if value is not None}


def _page_of(call: Call[Page[T]], name: str, kind: type[T], answer: Answer) -> Page[T]:
    content = answer.content
    if not isinstance(content, dict) or not isinstance(content.get(name), list):
        raise Unreadable(f"{name} is not a list")
    items = tuple(read(kind, one) for one in content[name])
    after = content.get("next")
    if after is None:
        return Page(items, None)
    if str(after) == call.query.get("after"):
        raise Unreadable("next is the page that was asked for")
    following = replace(
        call,
        query={**call.query, "after": str(after)},
        reader=lambda later: _page_of(following, name, kind, later),
    )
    return Page(items, following)


def _steps(route: str, about: Mapping[str, str | int]) -> dict[str, str | int]:
    names = {name: value for name, value in about.items() if f"{{{name}}}" in route}
    for name, value in names.items():
        if value in (".", ".."):
            # Proxies and servers would read them as steps in the path.
            raise InvalidRequest(f"{_argument(name)}: . and .. cannot stand in a URL")
    return names


def _by_argument(about: Mapping[str, str | int]) -> dict[str, str | int]:
    return {_argument(name): value for name, value in about.items()}


def _argument(name: str) -> str:
    """Return what the client's methods call what the routes call `name`."""
    return "account" if name == "ref" else name


def _query(wanted: Mapping[str, object]) -> dict[str, str]:
    return {
        name: value.isoformat() if isinstance(value, date) else str(value)
        for name, value in wanted.items()
        if value is not None
    }
