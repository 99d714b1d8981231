"""What may be shown of messages: ids, names of arguments, counts, types and places of errors."""

import hashlib
import logging
import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from celery.worker.consumer import consumer

from service.disclosure import fingerprint, shown_error

HIDDEN = "…"
IDS = frozenset({"lead_id", "account", "payment_id", "request_id", "dispute_type"})
"""The arguments that are shown of every task if they look like ids."""

_MOST_SHOWN = 20
_ID = re.compile(r"[A-Za-z0-9:._-]{1,64}").fullmatch
_PHONE = re.compile(r"[\d:._-]{10,}").fullmatch
"""Ten digits or more without a letter: a phone number as likely as an id."""


def shown_args(args: Sequence[Any], parameters: Sequence[str], shown: frozenset[str]) -> str:
    """Return the arguments given by position, as Flower shows them."""
    names = [*parameters, *[""] * len(args)]
    texts = [
        _shown(name, value, shown) for name, value in zip(names, args[:_MOST_SHOWN], strict=False)
    ]
    return f"({', '.join(texts)})"


def shown_kwargs(
    kwargs: Mapping[str, Any], parameters: Sequence[str], shown: frozenset[str]
) -> str:
    """Return the arguments given by name; an unknown name is hidden too."""
    texts = [
        f"{name}: {_shown(name, kwargs[name], shown)}" for name in parameters if name in kwargs
    ]
    if len(kwargs) > len(texts):
        texts.append(HIDDEN)
    return f"{{{', '.join(texts)}}}"


def shown_id(value: object) -> str:
    """Return an id, or `HIDDEN` if it does not look like one."""
    return value if isinstance(value, str) and _ID(value) and not _PHONE(value) else HIDDEN


def task_id(given: str) -> str:
    """Return a task's id, or always the same digest for one that does not look like an id."""
    if shown_id(given) == given:
        return given
    return f"sha256:{hashlib.sha256(given.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def as_flower_shows(task: Any) -> Any:
    """Return Flower's copy of a task, without arguments that no worker has written.

    Until a worker has received it, Flower knows a task from its sender's app (`task-sent`).
    """
    if task.received is None:
        task.args = task.kwargs = HIDDEN
    task.uuid = task_id(str(task.uuid))
    return task


def _shown(name: str, value: object, shown: frozenset[str]) -> str:
    if name == "leads" and isinstance(value, list):
        return f"{len(value)} leads"
    return shown_id(value) if name in shown else HIDDEN


def places_in(formatted_traceback: str) -> str:
    """Return a traceback's places and source lines, without the texts of its errors."""
    lines = formatted_traceback.splitlines()
    places = [f"{line}\n" for line in lines if line.startswith('  File "')]
    return "Traceback (most recent call last):\n" + "".join(places)


_DISCARDED = {
    consumer.UNKNOWN_FORMAT: "message discarded: of no form that Celery knows",
    consumer.UNKNOWN_TASK_ERROR: "message discarded: task_unknown",
    consumer.INVALID_TASK_ERROR: "message discarded: task_rejected",
    consumer.MESSAGE_DECODE_ERROR: "message discarded: cannot be decoded",
    "Cannot process event on channel %r: %s": "message discarded: not in kombu's form",
}


def install() -> None:
    """Keep what senders wrote out of what Celery logs about messages and failed tasks."""
    for name in ("celery.worker.consumer.consumer", "kombu.transport.redis"):
        logging.getLogger(name).addFilter(_without_message)
    for name in ("celery.app.trace", "celery.worker.request"):
        logging.getLogger(name).addFilter(_without_error_text)


def _without_message(record: logging.LogRecord) -> bool:
    """Replace the text of a discarded message: Celery would log all of it."""
    text = _DISCARDED.get(str(record.msg))
    if text is not None:
        error = record.args[0] if isinstance(record.args, tuple) and record.args else None
        named = error.args if isinstance(error, KeyError) else ()
        task = f" {fingerprint(str(named[0]))}" if named else ""
        record.msg, record.args, record.exc_info = f"{text}{task}", (), None
    return True


def _without_error_text(record: logging.LogRecord) -> bool:
    """Remove the text of a foreign error, which may repeat what a sender wrote; ours do not."""
    if not record.exc_info or not record.exc_info[0]:
        return True
    kind, error, trace = record.exc_info
    if isinstance(record.args, dict):
        record.args = {**record.args, "exc": shown_error(error)}
        places = "".join(traceback.format_tb(trace))
        record.msg = f"{record.msg}\n{places.replace('%', '%%')}"
    else:
        record.msg, record.args = f"a task could not be run: {kind.__name__}", ()
    record.exc_info = None
    return True
