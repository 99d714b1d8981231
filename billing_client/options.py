"""What a client is made with: checked at once, and never repeated in an error."""

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
    if not 0 < value <= LONGEST_TIMEOUT_SECONDS:  # which NaN is not either
        raise InvalidRequest(
            f"timeout_seconds: must be more than 0 and at most {LONGEST_TIMEOUT_SECONDS}"
        )
    return value


def checked_retries(value: object) -> int:
    """Return how often to try again. Raises `InvalidRequest`."""
    if type(value) is not int or value < 0:
        raise InvalidRequest("retries: must be a whole number from 0")
    return value


def checked_api_key(value: object) -> str:
    """Return a bearer token (RFC 6750), such as the API takes. Raises `InvalidRequest`."""
    if not isinstance(value, str) or not _TOKEN(value):
        raise InvalidRequest(
            "api_key: must be ASCII letters, digits and ._~+/- only, without spaces or line ends"
        )
    return value


def is_address(url: str) -> bool:
    """Tell whether a URL has a host, and a port that is none or a number."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not _SPACE_OR_CONTROL(url)
    except ValueError:
        return False
