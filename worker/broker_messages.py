"""What a worker takes off Redis: messages in kombu's form. Anything else is discarded, with a line.

Anybody can push anything to a list, or publish it to the workers. kombu takes for granted that it
is JSON with its own fields: the error of one that is not would end the worker. Such a thing is gone
from its list when it is read, and in no other place yet, so that nothing has to be undone.

Used by `worker/celery_requests.py`, which judges what the messages say.
"""

import logging
from collections.abc import Callable
from typing import Any

from kombu.transport import redis

DEEPEST = 200
"""What JSON reads (about 950 deep) is more than Python can write, or give to the process that runs
a task (about 450): that error would end the worker too."""
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)

_log = logging.getLogger("celery.worker.consumer.consumer")


def is_too_deep(*values: object) -> bool:
    """Return whether lists and objects are nested more than `DEEPEST` deep in one of `values`."""
    level = [value for value in values if isinstance(value, list | dict)]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return False
    return True


def discard_unreadable() -> None:
    """Have the channels to Redis of this process discard what is no message."""
    for transport in (redis.Transport, redis.SentinelTransport):
        if not hasattr(transport.Channel, "is_message"):
            transport.Channel = _tolerant(transport.Channel)


def _tolerant(base: Any) -> Any:
    class Message(base.Message):  # type: ignore[misc] # kombu has no types
        def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
            _check(payload)
            super().__init__(payload, channel=channel, **options)
            channel.is_message = True

    class Channel(base):  # type: ignore[misc] # kombu has no types
        is_message = False

        def _brpop_read(self, **options: Any) -> Any:
            return self._or_discard(super()._brpop_read, **options)

        def _receive_one(self, *args: Any) -> Any:
            return self._or_discard(super()._receive_one, *args)

        def _or_discard(self, read: Callable[..., Any], *args: Any, **options: Any) -> Any:
            self.is_message = False
            try:
                return read(*args, **options)
            except _UNREADABLE as error:
                if self.is_message:  # read, and then something else failed
                    raise
                _log.error("message discarded: not in kombu's form (%s)", type(error).__name__)
                return True

    Channel.Message = Message
    return Channel


def _check(payload: Any) -> None:
    """Raise `ValueError`, or what kombu would, for what is no message of its own form."""
    properties = payload["properties"]
    texts = [properties["delivery_tag"], payload["body"], properties.get("body_encoding") or ""]
    objects = [payload.get("headers") or {}, properties["delivery_info"]]
    if not all(isinstance(value, str) for value in texts):
        raise ValueError("text is missing")
    if not all(isinstance(value, dict) for value in objects):
        raise ValueError("an object is missing")
    if is_too_deep(payload):
        raise ValueError("too deep")
