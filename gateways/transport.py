"""HTTP to a gateway, below its SDK: each request has time-outs, and fails with one of our errors.

Both SDKs take a `requests.Session`. They get ours (`razorpay/answers.py`, `stripe/answers.py`) and
so see only successes: on failures they lose the status, fail on a page of HTML, put whole bodies
into messages and print to the standard output. Nothing is sent twice, and nothing of a request is
kept, so that threads may share a session.
"""

import re
import ssl
from abc import abstractmethod
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, ClassVar

import requests
from requests import exceptions
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from billing.payments import GatewayName
from errors import BillingError
from gateways.errors import (
    GatewayKeyRefused,
    GatewayNotFound,
    GatewayUnavailable,
    OutcomeUnknown,
)
from gateways.protocol import CONNECT_SECONDS, READ_SECONDS

TIMEOUT = (float(CONNECT_SECONDS), float(READ_SECONDS))
"""Seconds to connect, and for the answer to begin and go on."""

_IS_ID = re.compile("[A-Za-z0-9_]{1,200}").fullmatch

_BEFORE_SENDING = (
    exceptions.ConnectTimeout,
    exceptions.ProxyError,
    exceptions.InvalidURL,
    exceptions.InvalidSchema,
    exceptions.MissingSchema,
    exceptions.InvalidHeader,
)


class Session(requests.Session):
    """A session that returns successes in JSON, and raises one of our errors otherwise."""

    gateway: ClassVar[GatewayName]
    key_variables: ClassVar[str]
    """The environment's variables for the key, for errors."""

    def __init__(self, base: str, timeout: tuple[float, float] = TIMEOUT) -> None:
        """Prepare for the gateway at the address `base`; `timeout` is (connect, read) seconds."""
        super().__init__()
        self._timeout = timeout
        # HTTPS_PROXY is often the only way out of a data centre, and whoever sets it means these
        # calls too. Plain http is the simulator on this host, which no proxy can reach.
        self.trust_env = base.startswith("https://")
        # A shared cookie would be the one thing that threads and calls have in common.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))

    @abstractmethod
    def refusal(self, status: int, error: Mapping[str, object]) -> BillingError:
        """Return what an answer of 4xx says; `error` is the error object of its body."""

    def error_in(self, content: Mapping[str, object]) -> Mapping[str, object] | None:
        """Return the error object of a body, or None if it is not the gateway's own."""
        error = content.get("error")
        return error if isinstance(error, Mapping) else None

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> Any:
        """Send it once and return the answer, of 2xx with a JSON object as its body."""
        # A redirect would take the key elsewhere, or make a GET of a POST; neither gateway has any.
        options |= {"timeout": self._timeout, "allow_redirects": False}
        try:
            response = super().request(method, url, *args, **options)
        except OSError as error:  # what requests raises, and a missing file of certificates
            raise self._ending(error) from error
        if problem := self._problem_with(response):
            raise problem
        return response

    def _problem_with(self, response: requests.Response) -> BillingError | None:
        status, content = response.status_code, _object(response)
        if 200 <= status < 300 and content is not None:
            return None
        if status == 429:
            return GatewayUnavailable(self.gateway, "too many requests (429)")
        if status == 401:
            return GatewayKeyRefused(self.gateway, self.key_variables)
        error = self.error_in(content or {})
        if error is None:  # an answer of something between us and the gateway
            return OutcomeUnknown(self.gateway, f"status {status} and no answer of its own")
        # 409 is a conflict with the same call, still under way.
        if not 400 <= status < 500 or status in {408, 409}:
            return OutcomeUnknown(self.gateway, f"status {status}")
        return self.refusal(status, error)

    def _ending(self, error: OSError) -> GatewayUnavailable | OutcomeUnknown:
        cause = _cause(error)
        if _nothing_was_sent(error, cause):
            return GatewayUnavailable(self.gateway, f"no connection ({type(cause).__name__})")
        if isinstance(error, exceptions.Timeout):
            return OutcomeUnknown(self.gateway, f"no answer in {self._timeout[1]:g} seconds")
        return OutcomeUnknown(self.gateway, f"the answer broke off ({type(cause).__name__})")


def checked_id(gateway: GatewayName, entity_id: str) -> str:
    """Return an id that may stand in a path; raises `GatewayNotFound` for any other, unasked."""
    if not _IS_ID(entity_id):
        raise GatewayNotFound(gateway, "this is not a valid id", status=None)
    return entity_id


def _nothing_was_sent(error: OSError, cause: BaseException) -> bool:
    if not isinstance(error, exceptions.RequestException):
        return True  # raised before there was a connection
    if isinstance(error, exceptions.SSLError):
        # A certificate is checked before anything is sent; a connection may break at any time.
        return any(isinstance(part, ssl.SSLCertVerificationError) for part in cause.args)
    return isinstance(error, _BEFORE_SENDING) or isinstance(
        cause, NewConnectionError | ConnectTimeoutError
    )


def _cause(error: OSError) -> BaseException:
    """Return what urllib3 found, which requests wraps once or twice."""
    inner = error.args[0] if error.args else error
    inner = getattr(inner, "reason", None) or inner
    return inner if isinstance(inner, BaseException) else error


def _object(response: requests.Response) -> dict[str, Any] | None:
    try:
        content = response.json()
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
