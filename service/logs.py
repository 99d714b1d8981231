"""Logging of every process: structlog, as console lines on a terminal and JSON elsewhere.

Operators grep for some lines (docs/reference/log-lines.md); those are the event texts themselves,
so that both forms contain them. Secrets, signatures and bodies are never logged: callers pass ids.
"""

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

import clock
import settings


def configure(*, level: int | None = None) -> None:
    """Set up structlog and the standard library's logging (Celery, Alembic) to one format.

    `level` is from the command line; LOG_LEVEL holds if it is missing or lower.
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
    shared: list[Any] = [_timestamp, structlog.processors.add_log_level]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)


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
