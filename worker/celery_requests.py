"""How a worker receives Celery's messages: it shows ids, and never what a sender wrote.

Arguments hold personal data, and Celery would show them in Flower, in events, in `inspect` and in
logs. Celery's `Request` stands for a message in a worker's main process; ours shows only the
arguments that `worker/redaction.py` allows, whatever the sender put into the headers.

Anybody can push anything to a list. An error in the main process would end the worker and put the
message back, to end the next worker: so `Consumer` discards what would make Celery fail.
"""

import logging
from collections.abc import Callable
from typing import Any

import celery
from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import InvalidTaskError, WorkerLostError
from celery.worker import consumer, request

from worker import redaction

TASK_ID_MAX_LENGTH = 200
_log = logging.getLogger("celery.worker.consumer.consumer")


class Consumer(consumer.Consumer):  # type: ignore[misc] # Celery has no types
    """Takes messages off the queues (`worker_consumer` in celeryconfig.py)."""

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], object]:
        """Return what receives each message."""
        receive: Callable[[Any], object] = super().create_task_handler(*args, **options)

        def receive_if_readable(message: Any) -> object:
            try:
                problem = _problem_with(message)
            except Exception as error:  # noqa: BLE001 - a codec's, of whatever kind
                return self.on_decode_error(message, error)
            if problem is not None:
                return self.on_invalid_task(None, message, InvalidTaskError(problem))
            return receive(message)

        return receive_if_readable

    def on_unknown_task(self, body: Any, message: Any, exc: KeyError) -> None:  # noqa: ARG002
        """Discard a message; Celery would repeat its task's name and id in an event."""
        _log.error(consumer.consumer.UNKNOWN_TASK_ERROR, exc)
        message.reject_log_error(_log, self.connection_errors)


def _problem_with(message: Any) -> str | None:
    """Return why a message cannot be given to Celery; None also for what Celery discards itself."""
    headers, payload = message.headers, message.payload
    if not isinstance(headers, dict):
        return None
    envelope = headers
    if isinstance(payload, dict):  # the older form, or a mixture of both
        envelope = {**payload, **headers}
    elif "task" in headers and not isinstance(payload, list):
        return "the content of the message is not a list"
    if "task" not in envelope:
        return None
    if not isinstance(envelope["task"], str):
        return "the task of the message is not text"
    if not _is_task_id(envelope.get("id")):
        return "the task id of the message is not 1 to 200 printable characters"
    return None


def _is_task_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TASK_ID_MAX_LENGTH and value.isprintable()


class Request(request.Request):  # type: ignore[misc] # Celery has no types
    """A received message whose arguments, name and errors are fit to be shown."""

    def __init__(self, message: Any, *args: Any, **options: Any) -> None:
        try:
            super().__init__(message, *args, **options)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # This must cost the message, not the worker.
            raise InvalidTaskError(f"the message is malformed ({type(error).__name__})") from None
        if not isinstance(self._args, list | tuple) or not isinstance(self._kwargs, dict):
            raise InvalidTaskError("the arguments of the message are not a list and an object")
        embedded = (options["body"] if options.get("decoded") else message.payload)[2]
        # It would overrule the headers, in the process that runs the task.
        if not (embedded is None or isinstance(embedded, dict)) or "id" in (embedded or {}):
            raise InvalidTaskError("the third part of the message is not in Celery's form")
        given = self._request_dict["id"]
        # It may hold anything, and goes into every line and event about the task.
        self.id: str = redaction.task_id(given)
        # A sender may ask for another name in Flower, and for limits of its own choice.
        self.name = self._type
        self.time_limits = (None, None)
        task = self._task
        self._argsrepr = redaction.shown_args(self._args, task.parameters, task.shown)
        self._kwargsrepr = redaction.shown_kwargs(self._kwargs, task.parameters, task.shown)
        self._root_id = self._related("root_id")
        self._parent_id = self._related("parent_id")
        # The process that runs the task logs from these.
        self._request_dict.update(
            id=self.id,
            argsrepr=self._argsrepr,
            kwargsrepr=self._kwargsrepr,
            # Celery uses and shows these as they come.
            stamped_headers=None,
            stamps=None,
            retries=retries if type(retries := self._request_dict.get("retries")) is int else 0,
            shadow=None,
            timelimit=self.time_limits,
        )

    def _related(self, name: str) -> str | None:
        given = self._request_dict.get(name)
        return None if given is None else redaction.shown_id(given)

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - Celery's signature
        """Return what `inspect` shows, with the arguments as shown everywhere."""
        return super().info(safe=True)

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's signature
        """Send an event; an error in it is the kind and the place, without its text."""
        if "exception" in fields:
            fields["exception"] = str(fields["exception"]).partition("(")[0]
        if fields.get("traceback"):
            fields["traceback"] = redaction.places_in(str(fields["traceback"]))
        super().send_event(type, **fields)

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """End a failed task; after a lost process, a call without a row comes back once."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if (
            isinstance(error, WorkerLostError)
            and self._task.recorded_by_task
            # A second time it may be the message that kills: it does not come back.
            and not self._delivery_info["redelivered"]
        ):
            self.reject(requeue=True)
        return super().on_failure(exc_info, *args, **options)


class Task(celery.Task):  # type: ignore[misc]
    """The base of all tasks."""

    Request = "worker.celery_requests:Request"

    parameters: tuple[str, ...] = ()
    """The names of its arguments in order, for those given by position."""
    shown: frozenset[str] = redaction.IDS
    """The arguments that may be shown if they look like ids."""
    recorded_by_task = False
    """Whether only the message knows of the work until the task has run."""
