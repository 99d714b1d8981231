"""Logging of every process: structlog, as console lines on a terminal and JSON elsewhere.

Each line that is written while a request is worked on, of ours or of a library, has its
`request_id` (`service/request_ids.py`).

Operators grep for some lines (docs/reference/log-lines.md); those are the event texts themselves,
so that both forms contain them. Secrets, signatures and bodies are never logged: callers pass ids,
and what strangers wrote as `service/disclosure.py` shows it. Tracebacks are places and kinds.

LOG_LEVEL is the level of our lines. Libraries stay at WARNING: below that, Stripe's and urllib3's
lines hold whole answers of gateways, with the payer's name and address, and Celery's the arguments
of tasks.
"""

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict

import clock
import settings
from service import request_ids
from service.disclosure import shown_traceback


def configure(*, level: int | None = None) -> None:
    """Set up structlog and the standard library's logging (Celery, Alembic) to one format.

    `level` is from the command line; LOG_LEVEL holds if it is missing or lower. It is the level of
    our lines; a library's line below WARNING is dropped, whatever level its logger was given.
    """
    chosen = settings.get()
    threshold = max(logging.getLevelNamesMapping()[chosen.log_level], level or 0)
    console = chosen.log_format == "console" or (
        chosen.log_format == "auto" and sys.stderr.isatty()
    )
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if console
        else structlog.processors.JSONRenderer()
    )
    shared: list[Any] = [_timestamp, structlog.processors.add_log_level, _request_id]
    structlog.configure(
        processors=[*shared, _show_error, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_is_ours_or_a_warning)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _show_error,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)


_OURS = ("clock", "billing_client", "devstack", "simulator")
"""The names of our loggers of the standard library, as far as they are not structlog's."""


def _is_ours_or_a_warning(record: logging.LogRecord) -> bool:
    # Here, not at the loggers: a library may set the level of its own.
    return record.levelno >= logging.WARNING or record.name.split(".", 1)[0] in _OURS


def _show_error(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the error's places and kind: its text may repeat what was sent."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else None
    if isinstance(given, tuple):
        error = given[1]
    elif given and error is None:
        error = sys.exception()
    if error is not None:
        event["exception"] = shown_traceback(error)
    return event


class _Unfailing:
    """A stream whose reader may be gone: a line that cannot be written fails no request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # a broken pipe, a full disk, a closed file
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _timestamp(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    event["timestamp"] = clock.now().isoformat()
    return event


def _request_id(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    # A line about one row of a batch says itself whose it is; None: nobody's.
    known = event.pop("request_id", None) or request_ids.current()
    if known is not None:
        event["request_id"] = known
    return event
