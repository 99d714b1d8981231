"""A request, its answer, and when the same request is sent again.

Pure: it sends nothing and waits for nothing. The transports (`http.py`, and `async_http.py` over
httpx) run it, so both repeat the same answers after the same pauses:

    tries = Tries(retries, backoff_seconds)
    while True:
        answer = ...  # one Answer, or None if there was none
        pause = tries.pause_after(answer)
        if pause is None:
            break  # this answer counts; no answer: raise `unreachable(request, reason)`
        ...  # wait for `pause` seconds, then send the very same request again
"""

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from billing_client.errors import Unreachable, kind_of

TRY_AGAIN = (429, 500, 502, 503, 504)
LONGEST_PAUSE_SECONDS = 20
"""Longest pause between two tries, even if the server asks for more."""
IN_PROGRESS = "request-in-progress"
"""The problem type of a request whose key is in use by another request, still in progress."""

_IN_PROGRESS_PAUSE_SECONDS = 1
_REQUEST_ID = re.compile("[!-~]{1,200}").fullmatch
"""Of the back office, or of a proxy before it; anything else could not stand in a header."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; all tries send the same."""

    method: str
    url: str = field(repr=False)  # a password may stand in it
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = None
    idempotency_key: str | None = None
    request_id: str | None = None
    """The id that the caller chose."""

    @property
    def host(self) -> str:
        """The host and the port, for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, whatever the status."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    content: Any
    """The JSON document; None if the body is not JSON."""

    retried: bool = False
    """The request was sent more than once."""

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes, *, retried: bool) -> "Answer":
        """Return the answer that a transport has received."""
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(status, lower, _json(body), retried)

    @property
    def is_success(self) -> bool:
        """Whether the request was done."""
        return 200 <= self.status < 300

    @property
    def replayed(self) -> bool:
        """Whether it is the stored first answer to this key, which may be out of date."""
        return self.headers.get("idempotent-replayed") == "true"

    @property
    def problem(self) -> dict[str, Any]:
        """The problem (RFC 9457) of a refusal; empty if the answer is no object."""
        return self.content if isinstance(self.content, dict) else {}

    @property
    def request_id(self) -> str | None:
        """The id of the request on the server; None if it does not say one that can be sent on."""
        found = self.headers.get("x-request-id") or self.problem.get("request_id")
        return found if isinstance(found, str) and _REQUEST_ID(found) else None

    @property
    def is_in_progress(self) -> bool:
        """Whether another request under the same key is still being worked on."""
        return kind_of(self.problem) == IN_PROGRESS


class Tries:
    """The tries of one request: decides after each whether there is another, and when.

    No answer, and an answer that asks to try again, are repeated `retries` times, the first at
    once, then with growing pauses. A request whose key is in progress is asked again as often,
    counted apart: it is not a failure.
    """

    def __init__(self, retries: int, backoff_seconds: float) -> None:
        self._failures_left = retries
        self._waits_left = retries
        self._backoff_seconds = backoff_seconds
        self._failures = 0
        self.were_repeated = False
        """The request was sent more than once."""

    def pause_after(self, answer: Answer | None) -> float | None:
        """Return the seconds until the next try; None if this answer, or its absence, counts."""
        if answer is not None and answer.is_in_progress:
            if not self._waits_left:
                return None
            self._waits_left -= 1
            asked = _requested_pause(answer)
            pause = _IN_PROGRESS_PAUSE_SECONDS if asked is None else asked
        elif answer is None or answer.status in TRY_AGAIN:
            if not self._failures_left:
                return None
            self._failures_left -= 1
            self._failures += 1
            asked = _requested_pause(answer) if answer is not None else None
            pause = self._backoff() if asked is None else asked
        else:
            return None
        self.were_repeated = True
        return min(pause, LONGEST_PAUSE_SECONDS)

    def _backoff(self) -> float:
        if self._failures == 1:
            return 0.0  # most often a connection that the server closed meanwhile
        jitter = random.random() * self._backoff_seconds  # noqa: S311 - spreads callers
        # Past any cap: a power of thousands of tries would be no float any more.
        return float(self._backoff_seconds * 2 ** min(self._failures - 1, 20) + jitter)


def unreachable(request: Request, reason: str) -> Unreachable:
    """Return the error of a request that had no answer; `reason` without the URL."""
    error = Unreachable(
        f"{request.host} cannot be reached: {reason}", idempotency_key=request.idempotency_key
    )
    error.request_id = request.request_id
    return error


def _requested_pause(answer: Answer) -> float | None:
    """Return the seconds of `Retry-After`, a number or a time (RFC 9110, 10.2.3)."""
    asked = answer.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdecimal():
        return float(min(int(asked[:9]), LONGEST_PAUSE_SECONDS))
    try:
        moment = parsedate_to_datetime(asked)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
