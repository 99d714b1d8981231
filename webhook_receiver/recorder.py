"""Group commit: deliveries that arrive together become one INSERT and one commit.

Each request waits until its own row is committed. While one group is committed the next one
gathers, so that a lone request waits for no other and a crowd shares the cost of the disk.
One thread and one connection per process; why: docs/decisions/0003-group-commit-receiver.md.
"""

import threading
from queue import Empty, SimpleQueue

from db.deliveries import NewEvent, record
from db.session import transaction
from errors import TransientError
from service.disclosure import shown_error

MAX_GROUP = 200
MAX_GROUP_BYTES = 4 * 1024 * 1024
"""Keeps the statement and its memory small when bodies are large."""
WAIT_SECONDS = 20
"""A request not recorded by then is answered 503; if it still is recorded, the next is a repeat."""


class NotRecorded(Exception):
    """The delivery is not known to be in the database: the sender must try again."""


class _PendingDelivery:
    """A delivery to record; its request waits at a lock that the recorder opens."""

    __slots__ = ("done", "error", "event", "is_new")

    def __init__(self, event: NewEvent) -> None:
        self.event = event
        self.is_new = False
        self.error: Exception | None = None
        # A bare lock, opened once: a Future's condition variable costs several times as much.
        self.done = threading.Lock()
        self.done.acquire()


class Recorder:
    """Records deliveries for the requests of one process."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[_PendingDelivery] = SimpleQueue()
        threading.Thread(target=self._run, name="recorder", daemon=True).start()

    def record(self, event: NewEvent) -> bool:
        """Return True once the delivery is committed, False if it was seen before.

        Raises `NotRecorded`.
        """
        waiting = _PendingDelivery(event)
        self._waiting.put(waiting)
        if not waiting.done.acquire(timeout=WAIT_SECONDS):
            raise NotRecorded(f"no commit within {WAIT_SECONDS} seconds")
        if waiting.error is not None:
            error = waiting.error
            raise NotRecorded(shown_error(error)) from error
        return waiting.is_new

    def _run(self) -> None:
        while True:
            group = [self._waiting.get()]
            size = len(group[0].event.body)
            try:
                while len(group) < MAX_GROUP and size < MAX_GROUP_BYTES:
                    group.append(self._waiting.get_nowait())
                    size += len(group[-1].event.body)
            except Empty:
                pass
            self._commit(group)

    def _commit(self, group: list[_PendingDelivery]) -> None:
        try:
            with transaction() as session:
                answers = record(session, [waiting.event for waiting in group])
        except Exception as error:  # noqa: BLE001 - handed to the requests that wait for it
            if len(group) > 1 and not isinstance(error, TransientError):
                # One of them cannot be stored; the others must still be.
                for waiting in group:
                    self._commit([waiting])
                return
            for waiting in group:
                waiting.error = error
                waiting.done.release()
            return
        for waiting, is_new in zip(group, answers, strict=True):
            waiting.is_new = is_new
            waiting.done.release()
