"""`BillingSettings`: where the back office is and how to get in, for every client."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self
from urllib.parse import urlsplit

from billing_client.errors import InvalidRequest
from billing_client.exchange import LONGEST_PAUSE_SECONDS
from billing_client.options import (
    checked_api_key,
    checked_retries,
    checked_timeout,
    is_address,
)
from billing_client.signing import TOLERANCE_SECONDS, Signer

LONGEST_CALL_SECONDS = TOLERANCE_SECONDS - 20
"""All tries of a call share one signature; the rest is for clocks that differ."""

_VARIABLES = {
    "base_url": "BILLING_URL",
    "api_url": "BILLING_API_URL",
    "receiver_url": "BILLING_RECEIVER_URL",
    "api_key": "BILLING_API_KEY",
    "webhook_secret": "BILLING_WEBHOOK_SECRET",
}


@dataclass(frozen=True, kw_only=True)
class BillingSettings:
    """Addresses, secrets and patience of a client. Shows no secret.

    `base_url` is enough if API and receiver are behind one proxy: their paths, `/v1` and
    `/webhooks`, do not meet. If not, `api_url` and `receiver_url` name them, each before
    `base_url`. `api_key` opens the API; `webhook_secret` signs what `charge_lead` sends to the
    receiver. What a call needs and the settings do not have is an `InvalidRequest` of that call.

    A request without an answer, or with an answer that asks to try again, is repeated up to
    `retries` times with growing pauses; with a `webhook_secret` for less than five minutes in all,
    the lifetime of a signature. `timeout_seconds` limits the wait for a connection and for each
    part of the answer.
    """

    base_url: str | None = None
    api_url: str | None = None
    receiver_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    timeout_seconds: float = 10
    retries: int = 5

    def __post_init__(self) -> None:
        """Raise `InvalidRequest` if a value is wrong; the message has no secret."""
        for name in ("base_url", "api_url", "receiver_url"):
            url = getattr(self, name) or self.base_url
            object.__setattr__(self, name, service_url(name, url) if url else None)
        if self.api_key is not None:
            checked_api_key(self.api_key)
        checked_timeout(self.timeout_seconds)
        checked_retries(self.retries)
        if self.webhook_secret is not None:
            Signer(self.webhook_secret)
            self._check_time()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return what BILLING_URL (or BILLING_API_URL and BILLING_RECEIVER_URL), BILLING_API_KEY
        and BILLING_WEBHOOK_SECRET say; an empty one counts as not set.

        Raises `InvalidRequest`, which names the variable.
        """  # noqa: D205 - the names do not fit on one line
        given = {name: environment.get(of) or None for name, of in _VARIABLES.items()}
        if not (given["base_url"] or given["api_url"] or given["receiver_url"]):
            raise InvalidRequest("set BILLING_URL, or BILLING_API_URL and BILLING_RECEIVER_URL")
        try:
            return cls(**given)  # type: ignore[arg-type]  # the texts only
        except InvalidRequest as error:
            name, colon, problem = str(error).partition(":")
            raise InvalidRequest(f"{_VARIABLES.get(name, name)}{colon}{problem}") from None

    def __repr__(self) -> str:
        shown = ", ".join(f"{one.name}={self._shown(one.name)}" for one in fields(self))
        return f"{type(self).__name__}({shown})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        if value is None or not isinstance(value, str):
            return repr(value)
        if name in ("api_key", "webhook_secret"):
            return "..."
        parts = urlsplit(value)  # a user and a password may stand in it
        return repr(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())

    def _check_time(self) -> None:
        longest = (self.retries + 1) * self.timeout_seconds + self.retries * LONGEST_PAUSE_SECONDS
        if longest > LONGEST_CALL_SECONDS:
            raise InvalidRequest(
                "retries and timeout_seconds: a call must not outlast its signature: with"
                f" {LONGEST_PAUSE_SECONDS} seconds for each pause, at most {LONGEST_CALL_SECONDS}"
                " seconds in all"
            )


def settings_of(settings: BillingSettings | None, **given: Any) -> BillingSettings:
    """Return the settings, or those that the keywords make; None is the default of each.

    Raises `InvalidRequest` if both are given, or a value is wrong.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if settings is None:
        return BillingSettings(**chosen)
    if not isinstance(settings, BillingSettings):
        raise InvalidRequest("settings: must be BillingSettings")
    if chosen:
        raise InvalidRequest(f"{', '.join(chosen)}: give settings, or keywords, not both")
    return settings


def service_url(name: str, url: object) -> str:
    """Return a base URL without its last slash. Raises `InvalidRequest`."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"{name}: must be an http:// or https:// URL")
    if not is_address(url) or "?" in url or "#" in url:
        raise InvalidRequest(f"{name}: must have a host, an optional port and a path only")
    return url.rstrip("/")
