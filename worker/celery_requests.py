"""How a worker receives Celery's messages: it shows ids, and never what a sender wrote.

Arguments hold personal data, and Celery would show them in Flower, in events, in `inspect` and in
logs. Celery's `Request` stands for a message in a worker's main process; ours shows only the
arguments that `worker/redaction.py` allows, whatever the sender put into the headers.

Anybody can push anything to a list. An error in the main process would end the worker and put the
message back, to end the next worker: so `Consumer` discards what would make Celery fail.

A message can also say when to run (a far time would stay in the worker's memory), what to run
after it (with arguments that Celery would show), how often it was tried. `Request` keeps the
headers that we use (`_KEPT`) and drops the rest: the task runs now, once, by itself.
"""

import logging
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import celery
import structlog
from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import InvalidTaskError, WorkerLostError
from celery.worker import consumer, request

from worker import broker_connection, broker_messages, redaction
from worker.broker_messages import DEEPEST, is_too_deep

TASK_ID_MAX_LENGTH = 200
_KEPT = frozenset({"lang", "task", "id", "root_id", "parent_id", "expires", "billing_copy"})
"""The headers of a message that count; the last is set by `tasks/leads/call_copies.py`'s senders.
`expires` is for ticks and nudges: an old one is of no use. A call that only its message knows of
(`recorded_by_task`) is owed however late it comes."""
_WISHES = frozenset(
    {"eta", "expires", "group", "group_index", "stamps", "stamped_headers", "timelimit", "retries"}
    | {"callbacks", "errbacks", "chain", "chord"}
)
"""What a sender knows that it asked for. The rest of the headers, Celery writes by itself."""

log = structlog.get_logger()
_log = logging.getLogger("celery.worker.consumer.consumer")


class Consumer(consumer.Consumer):  # type: ignore[misc] # Celery has no types
    """Takes messages off the queues (`worker_consumer` in celeryconfig.py)."""

    def connection_for_read(self, heartbeat: float | None = None) -> Any:
        """Return the connection to the broker, made anew each time that it is lost."""
        broker_messages.discard_unreadable()
        connection = super().connection_for_read(heartbeat=heartbeat)
        broker_connection.refuse_cluster(_log)
        broker_connection.hide_secrets(connection)
        return connection

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


def _problem_with(message: Any) -> str | None:  # noqa: PLR0911 - one line a problem
    """Return why a message cannot be given to Celery; None also for what Celery discards itself."""
    headers, payload = message.headers, message.payload
    if not isinstance(headers, dict):
        return None
    if is_too_deep(payload):
        return f"the content of the message is nested more than {DEEPEST} deep"
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
        dropped = _drop_wishes(message, options)
        try:
            super().__init__(message, *args, **options)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # This must cost the message, not the worker.
            raise InvalidTaskError(f"the message is malformed ({type(error).__name__})") from None
        if not isinstance(self._args, list | tuple) or not isinstance(self._kwargs, dict):
            raise InvalidTaskError("the arguments of the message are not a list and an object")
        given = self._request_dict["id"]
        # It may hold anything, and goes into every line and event about the task.
        self.id: str = redaction.task_id(given)
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
            # Of a message's properties; there is nobody to answer.
            reply_to=None,
            correlation_id=self.id,
            ignore_result=True,
        )
        self._ignore_result = True
        if dropped:
            text = repr(sorted(dropped.items())).encode("utf-8", "surrogatepass")
            log.warning(
                "message runs now",
                task=self.name,
                task_id=self.id,
                # Names of Celery's; what stood in them is known by its length and hash.
                dropped=sorted(dropped),
                length=len(text),
                sha256=sha256(text).hexdigest()[:16],
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


def _drop_wishes(message: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Take out of `options`, with which Celery makes a request, all but the task itself.

    Returns what was asked for beyond that, by its name in Celery. Raises `InvalidTaskError`.
    """
    headers = options.get("headers")
    given: Mapping[str, Any] = message.headers if headers is None else headers
    kept = _KEPT - {"expires"} if options["task"].recorded_by_task else _KEPT
    options["headers"] = {name: value for name, value in given.items() if name in kept}
    asked = {name: value for name, value in given.items() if name not in kept}
    body = options["body"] if options.get("decoded") else message.payload
    if not isinstance(body, list | tuple) or len(body) != 3:
        raise InvalidTaskError("the content of the message does not have three parts")
    args, kwargs, embedded = body
    if not (embedded is None or isinstance(embedded, dict)):
        raise InvalidTaskError("the third part of the message is not in Celery's form")
    if embedded is None or any(embedded.values()) or embedded.keys() - _WISHES:
        # It would overrule the headers, in the process that runs the task. That process takes a
        # decoded body too, instead of the bytes that came.
        options |= {"body": (args, kwargs, {}), "decoded": True}
        asked |= embedded or {}
    task = options["task"]
    # Celery writes a task's own limits into its messages, our ticks among them.
    no_wish = ([None, None], (None, None), [task.time_limit, task.soft_time_limit])
    return {
        name: value
        for name, value in asked.items()
        if name in _WISHES and value and value not in no_wish
    }


class Task(celery.Task):  # type: ignore[misc]
    """The base of all tasks."""

    Request = "worker.celery_requests:Request"

    parameters: tuple[str, ...] = ()
    """The names of its arguments in order, for those given by position."""
    shown: frozenset[str] = redaction.IDS
    """The arguments that may be shown if they look like ids."""
    recorded_by_task = False
    """Whether only the message knows of the work until the task has run."""
