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
"""Longest pause between two tries, also where the server asks for more."""
LONGEST_CALL_SECONDS = TOLERANCE_SECONDS - 20
"""All tries of a call go out with one signature; the rest is for clocks that disagree."""
CONNECTIONS = 8
"""At most so many of its own requests a client makes at once."""
KEPT_CONNECTIONS = 64
"""To one host, for the next requests: one for each thread of a platform that asks at once."""
IN_PROGRESS = "request-in-progress"
"""The type of problem of a request whose key somebody else works on: the answer is to come."""

_DETAIL_MAX_LENGTH = 500
_IN_PROGRESS_PAUSE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back with 2xx."""

    status: int
    content: Any
    """What the JSON says; None where it is none."""
    replayed: bool
    """The first answer to this idempotency key, which may be old news by now."""


class Http:
    """Sends requests and tells apart what the caller can do about the answer."""

    def __init__(self, *, timeout_seconds: float, retries: int, signs: bool) -> None:
        """`signs`: requests carry a signature, which all tries of one have to arrive with."""
        checked_timeout(timeout_seconds)
        checked_retries(retries)
        longest = (retries + 1) * timeout_seconds + retries * LONGEST_PAUSE_SECONDS
        if signs and longest > LONGEST_CALL_SECONDS:
            raise InvalidRequest(
                "retries and timeout_seconds: a call could outlast its signature; at most"
                f" {LONGEST_CALL_SECONDS} seconds, with {LONGEST_PAUSE_SECONDS} for each pause"
            )
        self._retries = retries
        self._pool = urllib3.PoolManager(
            maxsize=KEPT_CONNECTIONS,
            timeout=urllib3.Timeout(total=timeout_seconds),
            retries=urllib3.Retry(
                total=retries,
                redirect=0,
                allowed_methods=None,  # each request may be repeated: that is what its id is for
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
    ) -> Answered:
        """Return what was answered with 2xx. Raises `Unreachable`, `Refused` and kin."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        for tries_left in reversed(range(self._retries + 1)):
            try:
                answer = self._pool.request(method, url, body=body, headers=headers, redirect=False)
            except HTTPError as error:
                raise Unreachable(f"{host} cannot be reached: {_reason(error)}") from None
            content = _json(answer.data)
            if 200 <= answer.status < 300:
                replayed = answer.headers.get("Idempotent-Replayed") == "true"
                return Answered(answer.status, content, replayed)
            if not tries_left or not _is_in_progress(content):
                break
            time.sleep(_asked_pause(answer.headers.get("Retry-After")))
        raise _error(answer.status, content, host)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def service_url(name: str, url: str | None) -> str:
    """Return a base address without its last slash. Raises `InvalidRequest`."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"{name}: must be an http:// or https:// address")
    if not is_address(url) or "?" in url or "#" in url:
        raise InvalidRequest(f"{name}: cannot be read as an address of host, port and path")
    return url.rstrip("/")


def _error(status: int, content: Any, host: str) -> BillingError:
    detail = _detail(content)
    if status in TRY_AGAIN or _is_in_progress(content):
        return Unreachable(f"{host} answers {status} after all retries: {detail}")
    refused = Unauthorized(status, detail) if status in (401, 403) else Refused(status, detail)
    if isinstance(content, dict):
        refused.problem = content
    return refused


def _is_in_progress(content: Any) -> bool:
    return isinstance(content, dict) and str(content.get("type")).endswith(f":{IN_PROGRESS}")


def _asked_pause(retry_after: str | None) -> float:
    if retry_after is None or not retry_after.isdecimal():
        return _IN_PROGRESS_PAUSE_SECONDS
    return min(int(retry_after), LONGEST_PAUSE_SECONDS)


def _reason(error: HTTPError) -> str:
    # Without the address, which could hold more than a host.
    cause = getattr(error, "reason", None) or error
    return type(cause).__name__


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _detail(content: Any) -> str:
    """Return what the answer says for people: `detail` of problem JSON (RFC 9457), or `error`."""
    if isinstance(content, dict):
        for name in ("detail", "error", "title"):
            if isinstance(content.get(name), str):
                return str(content[name])[:_DETAIL_MAX_LENGTH]
    return "no reason was given"
