"""What logs and `last_error` may show of what strangers wrote: its length and its digest.

A path, the name of an unknown field, a reference, an id or a gateway's sentence may hold anything,
personal data included. Whoever has the text can compare it: `printf %s TEXT | sha256sum`. An answer
to the sender itself may repeat what it sent; logs and rows may not.

Used by `service/logs.py` for errors, and by everything that writes a log line or a `last_error`.
"""

import hashlib
import traceback
from types import TracebackType

import settings
from errors import BillingError

_DIGITS = 12


def fingerprint(text: str) -> str:
    """Return a text by its length and its digest: `(9 characters, sha256:0d4cd6c8a2f1)`."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    unit = "character" if len(text) == 1 else "characters"
    return f"({len(text)} {unit}, sha256:{digest})"


def shown_path(path: str, route: object | None) -> str:
    """Return the route that a path was matched with; without one, the path by length and digest.

    What stands in a path besides the route's own words is ids and references.
    """
    return fingerprint(path) if route is None else str(route)


def shown_error(error: BaseException) -> str:
    """Return an error by its kind, with its text if it is one of ours.

    Ours say what is wrong without repeating what was sent (`BillingError.for_log`). The text of any
    other may hold SQL, parameters, or the value that it did not like.
    """
    kind = type(error).__name__
    return f"{kind}: {error.for_log()}" if isinstance(error, BillingError) else kind


def shown_place(error: BaseException) -> str:
    """Return an error as `shown_error` does, with the line of code where a foreign one arose."""
    if isinstance(error, BillingError) or error.__traceback__ is None:
        return shown_error(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = last.filename.removeprefix(f"{settings.PROJECT_DIR}/").rsplit("/site-packages/", 1)[-1]
    return f"{shown_error(error)} in {last.name} ({place}, line {last.lineno})"


def shown_traceback(error: BaseException, trace: TracebackType | None = None) -> str:
    """Return the places of an error and of those that caused it, each as `shown_error` says it."""
    parts = []
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        places = traceback.format_tb(trace if cause is error and trace else cause.__traceback__)
        parts.append("Traceback (most recent call last):\n" + "".join(places) + shown_error(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n\nwhich was caused by\n\n".join(parts)
