"""`NoticeReceiver`: takes deliveries of notices, whatever the framework.

`flask_notices.py` puts one behind a route. Elsewhere, hand the body and the headers of a request to
`receive`, and send what it returns. `take` is for notices that were read by `list_events`: those
that came both ways are handled once.
"""

import difflib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from billing_client.errors import InvalidRequest, NoticeForged, NoticeRefused, NoticeTimestampOff
from billing_client.notice_memory import InProcessMemory, Memory, Turn, state_of
from billing_client.notice_types import TYPES, Notice
from billing_client.notices import Headers, listed_secrets, signers_of, verify_notice
from billing_client.problems import Problem
from billing_client.signing import TOLERANCE_SECONDS

MAX_BYTES = 65_536
"""The longest body that is read; notices are below a kilobyte."""

Handler = Callable[[Any], object]
"""Gets the typed notice; what it returns is not looked at."""

_log = logging.getLogger("billing_client")


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a delivery. Any status of 200 to 299 ends it; all else comes again."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(cls, problem: Problem) -> "Reply":
        """Return the answer that a problem is."""
        return cls(problem.status, problem.headers, problem.body)


def log_error(error: Exception) -> None:
    """Log that a handler failed, with the traceback."""
    _log.error("a handler of notices failed: the notice comes again", exc_info=error)


class NoticeReceiver:
    """Verifies deliveries, drops repeats and stale states, and calls the handler of the topic.

    One serves all threads of a process.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        secrets: str | Iterable[str],
        *,
        memory: Memory | None = None,
        tolerance: timedelta = timedelta(seconds=TOLERANCE_SECONDS),
        max_bytes: int = MAX_BYTES,
        report: Callable[[Exception], None] = log_error,
    ) -> None:
        """Take the handlers by topic: `balance.low`, `balance.*`, or `*` for all others.

        The most exact one is called; a topic without one is answered as handled. `secrets` are
        those of the endpoint, during a rotation both. `memory` is by default that of this process.
        `report` is called with what a handler raised. Raises `InvalidRequest`.
        """
        self._handlers = _checked(handlers)
        self._secrets = listed_secrets(secrets)
        signers_of(self._secrets)  # a wrong one is found now, not at the first delivery
        self._memory = InProcessMemory() if memory is None else memory
        self._tolerance = tolerance
        self.max_bytes = max_bytes
        self._report = report

    def receive(self, body: bytes, headers: Headers) -> Reply:
        """Return the answer to a delivery: 204 if it was handled, was before, or is stale.

        400 if it is no notice, 401 if it is not signed as it should be, 409 while it is being
        handled, 413 if it is too long, 500 if the handler failed. Never 410, which would switch
        the endpoint off.
        """
        if len(body) > self.max_bytes:
            return self.too_long()
        try:
            notice = verify_notice(body, headers, self._secrets, tolerance=self._tolerance)
        except NoticeRefused as refusal:
            _log.warning("a notice was refused: %s", refusal)
            return Reply.of(_problem_of(refusal))
        try:
            turn = self.take(notice)
        except Exception as error:  # noqa: BLE001 - whatever it is, the notice must come again
            self._report(error)
            return Reply.of(_FAILED)
        return Reply.of(_BUSY) if turn is Turn.BUSY else Reply(204)

    def take(self, notice: Notice) -> Turn:
        """Have a verified notice handled, unless it was, or is stale; return whose turn it was.

        After `Turn.BUSY` it is not handled: take it again in a while, or it is lost to who pulls.
        Raises what the handler raises; then the notice has its turn when it comes again.
        """
        state = state_of(notice)
        turn = self._memory.begin(notice.id, state)
        if turn is not Turn.HANDLE:
            _log.debug("notice %s (%s): %s", notice.id, notice.topic, turn.name.lower())
            return turn
        try:
            handler = self._handler_of(notice.topic)
            if handler is not None and inspect.isawaitable(handler(notice)):
                raise TypeError(f"the handler of {notice.topic} is `async`: nothing awaits it here")
        except BaseException:
            self._memory.give_up(notice.id, state)
            raise
        self._memory.finish(notice.id, state)
        return turn

    def too_long(self) -> Reply:
        """Return the answer to a body that is too long to be read."""
        return Reply.of(
            Problem(413, "too-long", f"a notice has at most {self.max_bytes} bytes here")
        )

    def _handler_of(self, topic: str) -> Handler | None:
        for pattern in (topic, f"{topic.partition('.')[0]}.*", "*"):
            if pattern in self._handlers:
                return self._handlers[pattern]
        return None


_FAILED = Problem(
    500, "internal-error", "the platform could not handle this notice: send it again later"
)
_BUSY = Problem(
    409,
    "request-in-progress",
    "this notice, or another one of the same state, is being handled now: send it again later",
    repeat=True,
)


def _problem_of(refusal: NoticeRefused) -> Problem:
    if isinstance(refusal, NoticeForged | NoticeTimestampOff):
        return Problem(401, "notice-not-verified", str(refusal))
    return Problem(400, "invalid-notice", str(refusal))


def _checked(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    known = [*TYPES, *{f"{topic.partition('.')[0]}.*" for topic in TYPES}, "*"]
    for topic, handler in handlers.items():
        if not callable(handler):
            raise InvalidRequest(f"handlers: that of {topic!r} must be a function")
        if inspect.iscoroutinefunction(handler):
            raise InvalidRequest(f"handlers: that of {topic!r} must not be `async`")
        if topic not in known:
            near = difflib.get_close_matches(topic, known, 1)
            meant = f": did you mean {near[0]}?" if near else ""
            _log.warning("handlers: this version knows no topic %r%s", topic, meant)
    return dict(handlers)
