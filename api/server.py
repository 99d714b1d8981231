"""What granian serves as the API: its Flask app behind `service/asgi.py`, in a bounded thread pool.

`SIZES` says how the threads are shared, so that neither one key's requests nor a slow gateway can
take them all. docs/reference/limits.md shows the numbers.
"""

from collections import OrderedDict
from functools import partial
from hashlib import sha256

from flask import Flask

import settings
from api import problems, request_writer
from api.app import CONNECTIONS, create_app
from api.json_body import MAX_BODY_BYTES
from api.request_log import RequestLog, caller_noted
from api.routes import gateway_paths
from service.asgi import Adapter, Door
from service.http_messages import ONCE, Answer, Environ, HeaderRules, Refused, answer_of
from service.thread_shares import AllTaken, ShareTaken, Sizes, ThreadShares
from tasks.plumbing import notice_nudges

HEADERS = HeaderRules(once=ONCE | {"idempotency-key"}, without_comma=frozenset({"idempotency-key"}))
SIZES = Sizes(
    threads=CONNECTIONS,
    of_a_caller=8,
    for_slow_work=8,
    for_slow_work_of_a_caller=4,
    waiting_of_a_caller=128,
    wait_seconds=20.0,
)
"""Slow work is what asks a gateway, for up to 11 seconds and without a database connection."""
KNOWN_KEYS = 10_000
ON_THE_LOOP = frozenset({"/healthz"})
"""Only computed: the process lives while all threads wait for a database that hangs."""
PROBES = frozenset({"/readyz"})


def create_server() -> Adapter | RequestLog:
    """Return the ASGI application; called once in a process."""
    app = create_app()
    notice_nudges.begin()
    calls = _Calls(app)
    served = Adapter(
        Door(
            call=calls.answer,
            refuse=problems.of_unread,
            max_body_bytes=MAX_BODY_BYTES,
            headers=HEADERS,
        )
    )
    kept = settings.get().api_requests_kept
    if not kept:
        return served
    note = request_writer.to_redis(kept).note
    return RequestLog(served, note=note, known_caller=calls.known_caller, routes=app.url_map)


class _Calls:
    """How the app is called: in a thread of its caller's share, or at once."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._asks_gateway = gateway_paths(app)
        self._threads = ThreadShares(SIZES)
        self._known: OrderedDict[str, str | None] = OrderedDict()
        """The digest of a valid key's header -> the key's name, if requests are noted."""

    async def answer(self, environ: Environ) -> Answer:
        if environ["PATH_INFO"] in ON_THE_LOOP:
            return answer_of(self._app, environ)
        slow = environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] in self._asks_gateway
        key = _digest(environ.get("HTTP_AUTHORIZATION", ""))
        try:
            answer = await self._threads.run(
                self._caller(key, environ), partial(answer_of, self._app, environ), slow=slow
            )
        except ShareTaken:
            raise Refused(
                429,
                "too many requests of this API key are in progress: send fewer at once, and"
                " repeat this one later",
                kind="too-many-requests",
            ) from None
        except AllTaken:
            raise Refused(503, "the server is busy: repeat the request later") from None
        if environ["PATH_INFO"].startswith("/v1/"):
            self._remember(key, answer.status, environ)
        return answer

    def known_caller(self, authorization: str) -> str | None:
        """Return the name of a key that was seen to be valid, from its header."""
        return self._known.get(_digest(authorization))

    def _caller(self, key: str, environ: Environ) -> str:
        """Return whose share it is: a key's, once it was seen to be valid; else the strangers'.

        Whoever makes up keys gets one share for all of them.
        """
        if environ["PATH_INFO"] in PROBES:
            return "probes"
        return key if key in self._known else "strangers"

    def _remember(self, key: str, status: int, environ: Environ) -> None:
        """Note that a key is valid, or no longer: only a key brings a 2xx under /v1."""
        if status == 401:
            self._known.pop(key, None)
        if status >= 400:
            return
        self._known[key] = caller_noted(environ)
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_KEYS:
            self._known.popitem(last=False)


def _digest(authorization: str) -> str:
    return sha256(authorization.encode()).hexdigest()
