"""The options of a client: checked at once, and never shown in an error."""

import re
from urllib.parse import urlsplit

from billing_client.errors import InvalidRequest

LONGEST_TIMEOUT_SECONDS = 3600

_TOKEN = re.compile("[A-Za-z0-9._~+/-]+=*").fullmatch
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x20\x7f]").search


def checked_timeout(value: object) -> float:
    """Return a timeout in seconds. Raises `InvalidRequest`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"timeout_seconds: must be a number, not {type(value).__name__}")
    if not 0 < value <= LONGEST_TIMEOUT_SECONDS:  # false for NaN too
        raise InvalidRequest(
            f"timeout_seconds: must be more than 0 and at most {LONGEST_TIMEOUT_SECONDS}"
        )
    return value


def checked_retries(value: object) -> int:
    """Return the number of retries. Raises `InvalidRequest`."""
    if type(value) is not int or value < 0:
        raise InvalidRequest("retries: must be a whole number, 0 or more")
    return value


def checked_api_key(value: object) -> str:
    """Return an API key, a bearer token of RFC 6750. Raises `InvalidRequest`."""
    if not isinstance(value, str) or not _TOKEN(value):
        raise InvalidRequest(
            "api_key: must hold only ASCII letters, digits and ._~+/-, without spaces or line ends"
        )
    return value


def is_address(url: str) -> bool:
    """Return whether a URL has a host and, if any, a valid port."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not _SPACE_OR_CONTROL(url)
    except ValueError:
        return False
