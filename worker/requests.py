"""How a worker receives messages: it shows ids, and never what a sender wrote.

Arguments hold personal data, and Celery would show them in Flower, in events, in `inspect` and in
logs. Celery's `Request` stands for a message in a worker's main process; ours shows of the
arguments what `worker/redaction.py` lets through, whatever the sender put into the headers.
"""

from typing import Any

import celery
from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import InvalidTaskError, WorkerLostError
from celery.worker import request

from worker import redaction


class Request(request.Request):  # type: ignore[misc] # Celery has no types
    """A received message whose arguments, name and errors are fit to be shown."""

    def __init__(self, message: Any, *args: Any, **options: Any) -> None:
        try:
            super().__init__(message, *args, **options)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Anybody can push anything to a list; it must cost that message, not the worker.
            raise InvalidTaskError(f"a malformed message ({type(error).__name__})") from None
        if not isinstance(self._args, list | tuple) or not isinstance(self._kwargs, dict):
            raise InvalidTaskError("a message whose arguments are no list and object")
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
            argsrepr=self._argsrepr,
            kwargsrepr=self._kwargsrepr,
            shadow=None,
            timelimit=self.time_limits,
        )

    def _related(self, name: str) -> str | None:
        given = self._request_dict.get(name)
        return None if given is None else redaction.shown_id(given)

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - Celery's signature
        """Return what `inspect` shows, with the arguments as everywhere."""
        return super().info(safe=True)

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's signature
        """Send an event; an error in it is the kind and the place, without its text."""
        if "exception" in fields:
            fields["exception"] = str(fields["exception"]).partition("(")[0]
        if fields.get("traceback"):
            fields["traceback"] = redaction.places_in(str(fields["traceback"]))
        super().send_event(type, **fields)

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """End a failed task; one that no row stands for comes back once from a lost process."""
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

    Request = "worker.requests:Request"

    parameters: tuple[str, ...] = ()
    """The names of its arguments in order, for those that are given by place."""
    shown: frozenset[str] = redaction.IDS
    """The arguments that may be shown, where they look like ids."""
    recorded_by_task = False
    """Until the task has run, nothing but its message tells of the work."""
