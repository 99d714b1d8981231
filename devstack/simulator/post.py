"""One POST of a webhook, with exactly the headers that are given."""

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from devstack.simulator.ladder import Outcome


def is_web_address(url: object) -> bool:
    """Tell whether something is an http(s) address that a request can be sent to."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False


def send(
    url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float
) -> tuple[Outcome, int | None]:
    """POST `body`; return the outcome, and the status if there was one. Never raises."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=timeout_seconds)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        # http.client would ask for no compression; the gateways say what they take themselves.
        connection.putrequest("POST", path, skip_accept_encoding=True)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        status = connection.getresponse().status
    except TimeoutError:
        return "timed out", None
    except (OSError, http.client.HTTPException):
        return "dropped", None
    finally:
        connection.close()
    if 200 <= status < 300:  # a redirect is a failure, too
        return "taken", status
    return ("server error" if status >= 500 else "refused"), status
