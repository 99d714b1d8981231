"""Requests with timeouts, retries and typed errors; one pool of connections for all threads."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from billing_client.errors import BillingError, InvalidRequest, Refused, Unauthorized, Unreachable
from billing_client.options import checked_retries, checked_timeout, is_address
from billing_client.signing import TOLERANCE_SECONDS

TRY_AGAIN = (429, 500, 502, 503, 504)
BACKOFF_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 20
"""Longest pause between two tries, even if the server asks for more."""
LONGEST_CALL_SECONDS = TOLERANCE_SECONDS - 20
"""All tries of a call share one signature; the rest is for clocks that differ."""
CONNECTIONS = 8
"""How many requests `charge_leads` makes at once."""
KEPT_CONNECTIONS = 64
"""Open connections to one host: one for each thread of a platform that calls at once."""
IN_PROGRESS = "request-in-progress"
"""The problem type of a request whose key is in use by another request, still in progress."""

_DETAIL_MAX_LENGTH = 500
_IN_PROGRESS_PAUSE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with 2xx."""

    status: int
    content: Any
    """The JSON document; None if the body is not JSON."""
    replayed: bool
    """It is the stored first answer to this idempotency key, which may be out of date."""
    retried: bool = False
    """The request was sent more than once."""


class Http:
    """Sends requests, and turns answers into errors by what the caller can do about them."""

    def __init__(self, *, timeout_seconds: float, retries: int, signs: bool) -> None:
        """`signs`: all tries of a request carry one signature and must arrive while it is valid."""
        checked_timeout(timeout_seconds)
        checked_retries(retries)
        longest = (retries + 1) * timeout_seconds + retries * LONGEST_PAUSE_SECONDS
        if signs and longest > LONGEST_CALL_SECONDS:
            raise InvalidRequest(
                "retries and timeout_seconds: a call must not outlast its signature: with"
                f" {LONGEST_PAUSE_SECONDS} seconds for each pause, at most {LONGEST_CALL_SECONDS}"
                " seconds in all"
            )
        self._retries = retries
        self._pool = urllib3.PoolManager(
            maxsize=KEPT_CONNECTIONS,
            timeout=urllib3.Timeout(total=timeout_seconds),
            retries=urllib3.Retry(
                total=retries,
                redirect=0,
                allowed_methods=None,  # every request may be repeated: it has an idempotency key
                status_forcelist=TRY_AGAIN,
                backoff_factor=BACKOFF_SECONDS,
                backoff_max=LONGEST_PAUSE_SECONDS,
                backoff_jitter=BACKOFF_SECONDS,
                respect_retry_after_header=True,
                retry_after_max=LONGEST_PAUSE_SECONDS,
                raise_on_status=False,
            ),
        )

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """Return an answer with 2xx. Raises `Unreachable`, `Unauthorized`, `Refused`."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        for tries_left in reversed(range(self._retries + 1)):
            try:
                answer = self._pool.request(method, url, body=body, headers=headers, redirect=False)
            except HTTPError as error:
                raise Unreachable(f"{host} cannot be reached: {_reason(error)}") from None
            content = _json(answer.data)
            if 200 <= answer.status < 300:
                replayed = answer.headers.get("Idempotent-Replayed") == "true"
                repeats = answer.retries.history if answer.retries else ()
                retried = bool(repeats) or tries_left < self._retries
                return Answer(answer.status, content, replayed, retried)
            if not tries_left or not _is_in_progress(content):
                break
            time.sleep(_requested_pause(answer.headers.get("Retry-After")))
        raise _error(answer.status, content, host)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def service_url(name: str, url: str | None) -> str:
    """Return a base URL without its last slash. Raises `InvalidRequest`."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"{name}: must be an http:// or https:// URL")
    if not is_address(url) or "?" in url or "#" in url:
        raise InvalidRequest(f"{name}: must have a host, an optional port and a path only")
    return url.rstrip("/")


def _error(status: int, content: Any, host: str) -> BillingError:
    detail = _detail(content)
    if status in TRY_AGAIN or _is_in_progress(content):
        return Unreachable(f"{host} still answers {status} after all retries: {detail}")
    refused = Unauthorized(status, detail) if status in (401, 403) else Refused(status, detail)
    if isinstance(content, dict):
        refused.problem = content
    return refused


def _is_in_progress(content: Any) -> bool:
    return isinstance(content, dict) and str(content.get("type")).endswith(f":{IN_PROGRESS}")


def _requested_pause(retry_after: str | None) -> float:
    if retry_after is None or not retry_after.isdecimal():
        return _IN_PROGRESS_PAUSE_SECONDS
    return min(int(retry_after), LONGEST_PAUSE_SECONDS)


def _reason(error: HTTPError) -> str:
    # Without the URL, which could hold a password.
    cause = getattr(error, "reason", None) or error
    return type(cause).__name__


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _detail(content: Any) -> str:
    """Return the text for people: `detail` of problem JSON (RFC 9457), `error` or `title`."""
    if isinstance(content, dict):
        for name in ("detail", "error", "title"):
            if isinstance(content.get(name), str):
                return str(content[name])[:_DETAIL_MAX_LENGTH]
    return "the answer gives no reason"
