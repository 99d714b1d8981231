"""The id of a request: the caller's `X-Request-Id` if it sent a sane one, else a new one.

One id shows a request's whole way: it is in the header of the answer, on each log line, on the rows
that the request writes, and on the lines and rows of the tasks that work on those rows.
`service/asgi.py` gives each request its id; whoever works on a recorded row binds that row's id.
docs/how-to/follow-a-request.md shows its use.

The id is a context variable, which belongs to one thread or coroutine. Bind it where no `await`
stands in the block, in the thread that does the work: then it can reach no other request.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

HEADER = "X-Request-Id"

_current: ContextVar[str | None] = ContextVar("service.request_ids.current", default=None)
_is_sane = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._-]{7,63}", re.ASCII).fullmatch
_PAN = "[a-z]{5}[0-9]{4}[a-z]"
_must_stay_out = re.compile(
    rf"{_PAN}|[0-9]{{2}}{_PAN}[0-9a-z]{{3}}|(bk|sk|rk|rzp|whsec)_.*", re.ASCII | re.IGNORECASE
).fullmatch
"""PAN and GSTIN of India, which name a taxpayer; keys of ours and of gateways by their prefix."""


def current() -> str | None:
    """Return the id of the request that is being worked on; None outside of one."""
    return _current.get()


def new() -> str:
    """Return an id of our own: `req_` and 32 hexadecimal digits."""
    return f"req_{uuid4().hex}"


def sane(value: str | None) -> bool:
    """Tell whether an id that a caller sent can be taken over.

    8 to 64 letters and digits of ASCII, `.`, `_` and `-`, the first a letter or a digit, and not
    without a letter. So no id is an option of a command, a control sequence, a quotation, an
    address of e-mail, a number of a telephone or of an identity card; and none is so short that it
    is found by chance. Nor is it a tax number, or a key that was put into the wrong header: an id
    stays in logs and rows.
    """
    return value is not None and _is_sane(value) is not None and _must_stay_out(value) is None


def of_headers(values: Sequence[str]) -> str:
    """Return the id of a request that came with these `X-Request-Id` headers.

    An id that is not sane, or came more than once, is replaced and not refused: a proxy on the way
    may have made it, and the request is good without it.
    """
    if len(values) == 1 and sane(values[0]):
        return values[0]
    return new()


@contextmanager
def bound(request_id: str | None) -> Iterator[None]:
    """Have `current` return this id in the block, in this thread or coroutine."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)
