"""The id that a platform gives to its requests, so that one `grep` finds them on both sides."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from billing_client.errors import InvalidRequest

HEADER = "X-Request-Id"

_FITS = re.compile("(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._-]{7,63}").fullmatch
_PAN = "[a-z]{5}[0-9]{4}[a-z]"
_must_stay_out = re.compile(
    rf"{_PAN}|[0-9]{{2}}{_PAN}[0-9a-z]{{3}}|(bk|sk|rk|rzp|whsec)_.*", re.ASCII | re.IGNORECASE
).fullmatch
"""What the server takes over is what fits and need not stay out; it replaces any other."""
_current: ContextVar[str | None] = ContextVar("billing_client_request_id", default=None)


@contextmanager
def use_request_id(request_id: str) -> Iterator[None]:
    """Send this id with every request in the block, of any client, in this thread or task.

    The back office writes it into its logs and rows, and answers with it. Without one it makes an
    id of its own; an error has it as `request_id`. Raises `InvalidRequest` unless it is 8 to 64
    letters, digits, `.`, `_` and `-`, with a letter among them, and neither a PAN, a GSTIN nor
    what looks like a key.
    """
    if not isinstance(request_id, str) or not _FITS(request_id):
        raise InvalidRequest(
            "request_id: must be 8 to 64 ASCII letters, digits and ._- with a letter among them,"
            " and begin with a letter or a digit"
        )
    if _must_stay_out(request_id):
        raise InvalidRequest(
            "request_id: must not be a PAN, a GSTIN or a key (bk_, sk_, ...): it stays in logs"
        )
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> str | None:
    """Return the id that the caller chose for its requests, or None."""
    return _current.get()
