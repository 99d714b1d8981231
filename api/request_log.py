"""The log of requests: what is noted of each, for `billing requests list|show`.

`RequestLog` stands around the API's ASGI application, so that it sees each answer as it is sent:
also one of a request that was refused unread, and one of a caller whose share is taken. What only
the app knows (the caller, the route, the account) it leaves in `Facts` by the way of the environ.

Nothing is noted that a stranger chose, except the id of the request, which has a narrow form
(`service/request_ids.py`): the route as the document writes it and not the path, the name of a
key, a reference that is on record, a version of our own client. docs/explanation/request-log.md
says why; `service/recent_requests.py` keeps it, `api/request_writer.py` carries it there.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map

import clock
from api import problems
from service.asgi import Receive, Scope, Send
from service.http_messages import Environ
from service.recent_requests import RecentRequest
from service.request_ids import HEADER

log = structlog.get_logger()

UNNOTED = frozenset({"/healthz", "/readyz", "/docs"})
"""Asked every few seconds by machines, or a page of ours: they would drive out all others."""
UNNOTED_FILES = "/docs/"
"""Where the files of that page lie."""
STATE = "asgi.state"
"""The environ's name for ASGI's state of a request (`service/http_messages.py`)."""
FACTS = "billing.request_log.facts"

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_OUR_CLIENT = re.compile(rb"credit-billing-client/[0-9][0-9A-Za-z.+-]{0,19}(?![^ ])")
_REQUEST_ID = HEADER.lower().encode()
_REPLAYED = b"idempotent-replayed"

App = Callable[[Any, Receive, Send], Any]


@dataclass(slots=True)
class Facts:
    """What the app knows of a request."""

    seen: bool = False
    """Whether the app had it at all."""
    route: str | None = None
    caller: str | None = None
    account: str | None = None


def install(app: Flask) -> None:
    """Have the app say what it knows of each request that comes through a `RequestLog`."""
    app.after_request(_fill_in)


def _fill_in(response: Response) -> Response:
    facts: Facts | None = request.environ.get(STATE, {}).get(FACTS)
    if facts is not None:
        caller = g.get("caller")
        facts.seen = True
        facts.route = _template(request.url_rule.rule) if request.url_rule is not None else None
        facts.caller = caller.label if caller is not None else None
        facts.account = g.get("account_ref")
    return response


def caller_noted(environ: Environ) -> str | None:
    """Return the caller whom the app has left in a request's facts."""
    facts: Facts | None = environ.get(STATE, {}).get(FACTS)
    return facts.caller if facts is not None else None


class RequestLog:
    """The ASGI application `app`, with each request noted that it answers."""

    def __init__(
        self,
        app: App,
        *,
        note: Callable[[RecentRequest], None],
        known_caller: Callable[[str], str | None],
        routes: Map,
    ) -> None:
        """`note` must neither wait nor raise; `known_caller` knows the name of a key's header."""
        self._app = app
        self._note = note
        self._known_caller = known_caller
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and note it when the answer begins."""
        if scope["path"] in UNNOTED or scope["path"].startswith(UNNOTED_FILES):
            await self._app(scope, receive, send)
            return
        at, began = clock.now(), time.perf_counter()
        facts = Facts()
        scope.setdefault("state", {})[FACTS] = facts  # type: ignore[attr-defined]  # a dict
        head: list[Mapping[str, Any]] = []

        async def noting(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                head[:] = [message]
            elif head:
                duration_ms = (time.perf_counter() - began) * 1000
                answer = head.pop()
                try:
                    self._note(self._noted(scope, facts, answer, message["body"], at, duration_ms))
                except Exception as error:  # no request fails because of its note
                    log.error("request not noted", exc_info=error)
            await send(message)

        await self._app(scope, receive, noting)

    def _noted(
        self,
        scope: Scope,
        facts: Facts,
        answer: Mapping[str, Any],
        body: bytes,
        at: datetime,
        duration_ms: float,
    ) -> RecentRequest:
        sent, status = dict(scope["headers"]), answer["status"]
        headers = dict(answer["headers"])
        route, caller = facts.route, facts.caller
        if not facts.seen:
            caller = self._known_caller(sent.get(b"authorization", b"").decode("latin-1"))
        if route is None and (not facts.seen or status == 405):
            route = self._route(scope["path"], scope["method"])
        return RecentRequest(
            at=at,
            request_id=headers.get(_REQUEST_ID, b"").decode(),
            method=scope["method"] if scope["method"] in _METHODS else "(other)",
            route=route,
            status=status,
            duration_ms=round(duration_ms, 1),
            caller=caller,
            account=facts.account,
            problem=_kind(body) if status >= 400 else None,
            replayed=_REPLAYED in headers,
            client=_client(sent.get(b"user-agent", b"")),
        )

    def _route(self, path: str, method: str) -> str | None:
        """Return the route of a path, whatever the method; None for no path of ours."""
        asked = self._routes.bind("")
        try:
            try:
                rule, _ = asked.match(path, method, return_rule=True)
            except MethodNotAllowed as error:
                [other, *_] = error.valid_methods or [method]
                rule, _ = asked.match(path, other, return_rule=True)
        except HTTPException:
            return None
        return _template(rule.rule)


@lru_cache(maxsize=1_000)
def _template(rule: str) -> str:
    """Return werkzeug's `/v1/leads/<any_id:lead_id>` as `/v1/leads/{lead_id}`."""
    return re.sub("<(?:[^:>]*:)?([^>]*)>", r"{\1}", rule)


def _kind(body: bytes) -> str | None:
    """Return what distinguishes a problem from others of its status."""
    try:
        kind = json.loads(body)["type"]
    except (ValueError, KeyError, TypeError):
        return None
    own = str(kind).removeprefix(problems.OWN_TYPES)
    return own if own != kind else None


def _client(agent: bytes) -> str | None:
    found = _OUR_CLIENT.match(agent)
    return found[0].decode() if found is not None else None
