"""`notices`: the Flask blueprint that receives what the back office sends."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any

from flask import Blueprint, Response, current_app, got_request_exception, request

from billing_client.notice_memory import Memory
from billing_client.notice_receiver import MAX_BYTES, Handler, NoticeReceiver, Reply
from billing_client.signing import TOLERANCE_SECONDS


class NoticesBlueprint(Blueprint):
    """A blueprint with one route, which receives notices."""

    receiver: NoticeReceiver
    """What handles them; `receiver.take` is for those that were pulled."""


def notices(
    handlers: Mapping[str, Handler],
    secrets: str | Iterable[str],
    *,
    memory: Memory | None = None,
    path: str = "/hooks",
    tolerance: timedelta = timedelta(seconds=TOLERANCE_SECONDS),
    max_bytes: int = MAX_BYTES,
    name: str = "billing_notices",
) -> NoticesBlueprint:
    """Return a blueprint that receives notices at `path` and calls their handlers.

    `handlers` by topic, such as `balance.low`, `balance.*`, or `*` for all others; each gets the
    typed notice (`notice_types.py`), may be `async`, and what it returns is not looked at. If one
    raises, Flask logs it as an error of the app, the answer is 500, and the notice comes again.
    `secrets`, `tolerance` and `max_bytes` are those of `NoticeReceiver`, which says the answers.
    `memory` is by default that of the process: give several web processes one that they share.

    The deliveries have no cookie and no CSRF token: with Flask-WTF, `csrf.exempt(blueprint)`. The
    signature is what protects the route. A second blueprint in an app needs a `name` of its own.
    Raises `InvalidRequest`.
    """
    blueprint = NoticesBlueprint(name, __name__)
    receiver = blueprint.receiver = NoticeReceiver(
        {topic: _in_the_app(handler) for topic, handler in handlers.items()},
        secrets,
        memory=memory,
        tolerance=tolerance,
        max_bytes=max_bytes,
        report=_report,
    )

    @blueprint.post(path)
    def receive() -> Response:
        body = _body(receiver.max_bytes)
        return _sent(
            receiver.too_long() if body is None else receiver.receive(body, request.headers)
        )

    return blueprint


def _body(max_bytes: int) -> bytes | None:
    """Return the body as it was received; None: it is too long."""
    if request.content_length is None:  # of an unknown length: no more is read than may be
        return request.stream.read(max_bytes + 1)
    return None if request.content_length > max_bytes else request.get_data()


def _sent(reply: Reply) -> Response:
    return Response(reply.body, reply.status, dict(reply.headers))


def _in_the_app(handler: Handler) -> Handler:
    if not iscoroutinefunction(handler):
        return handler

    def run(notice: Any) -> object:
        called: Handler = current_app.ensure_sync(handler)
        return called(notice)

    return run


def _report(error: Exception) -> None:
    """Say it to Flask's log and to who listens to its errors, and keep the answer a 500.

    An error handler of the app could make any answer of it, even a 410.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - as Flask's own signals
    app.log_exception((type(error), error, error.__traceback__))
    got_request_exception.send(app, _async_wrapper=app.ensure_sync, exception=error)
