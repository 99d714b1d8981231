"""Group commit: deliveries that arrive together become one INSERT and one commit.

Each request is answered when its own row is committed. While one group is committed the next one
gathers, so that a lone request waits for no other and a crowd shares the cost of the disk.
One thread and one connection per process; why: docs/decisions/0003-group-commit-receiver.md.
"""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from db.deliveries import NewEvent, record
from db.session import transaction
from errors import TransientError
from service.disclosure import shown_error

MAX_GROUP = 200
MAX_GROUP_BYTES = 4 * 1024 * 1024
"""Keeps the statement and its memory small when bodies are large."""
WAIT_SECONDS = 20
"""A request not recorded by then is answered 503. If its group is being committed just then, it
still may be recorded, and the next is a repeat; if not, its body is let go of: a database that
hangs for an hour must not fill the memory."""


class NotRecorded(Exception):
    """The delivery is not known to be in the database: the sender must try again."""


class _PendingDelivery:
    """A delivery to record, and the future of its event loop that its request awaits."""

    __slots__ = ("event", "recorded")

    def __init__(self, event: NewEvent, recorded: "asyncio.Future[bool]") -> None:
        self.event: NewEvent | None = event
        """None: its request waits no more."""
        self.recorded = recorded


@dataclass(frozen=True, slots=True)
class _Delivery:
    """One that is being recorded."""

    event: NewEvent
    recorded: "asyncio.Future[bool]"


class Recorder:
    """Records deliveries for the requests of one process, which run on one event loop."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[_PendingDelivery] = SimpleQueue()
        threading.Thread(target=self._run, name="recorder", daemon=True).start()

    def record(self, event: NewEvent) -> "asyncio.Future[bool]":
        """Return what becomes True once the delivery is committed, False if it was seen before.

        It raises `NotRecorded` otherwise. Called on the event loop.
        """
        loop = asyncio.get_running_loop()
        recorded: asyncio.Future[bool] = loop.create_future()
        pending = _PendingDelivery(event, recorded)
        timer = loop.call_later(WAIT_SECONDS, _give_up, recorded)

        def waits_no_more(_: object) -> None:
            timer.cancel()
            pending.event = None

        recorded.add_done_callback(waits_no_more)
        self._waiting.put(pending)
        return recorded

    def _run(self) -> None:
        while True:
            group: list[_Delivery] = []
            size = 0
            try:
                while len(group) < MAX_GROUP and size < MAX_GROUP_BYTES:
                    pending = self._waiting.get(block=not group)
                    event = pending.event
                    if event is not None:
                        group.append(_Delivery(event, pending.recorded))
                        size += len(event.body)
            except Empty:
                pass
            self._commit(group)

    def _commit(self, group: list[_Delivery]) -> None:
        try:
            with transaction() as session:
                answers = record(session, [waiting.event for waiting in group])
        except Exception as error:  # noqa: BLE001 - handed to the requests that wait for it
            if len(group) > 1 and not isinstance(error, TransientError):
                # One of them cannot be stored; the others must still be.
                for waiting in group:
                    self._commit([waiting])
                return
            reason = shown_error(error)
            _report(group, [NotRecorded(reason) for _ in group])
            return
        _report(group, answers)


def _report(group: list[_Delivery], outcomes: Sequence[bool | NotRecorded]) -> None:
    """Wake the requests of a whole group by one call into their event loop."""
    loop = group[0].recorded.get_loop()
    with suppress(RuntimeError):  # the loop has ended: so have the requests
        loop.call_soon_threadsafe(_settle, group, outcomes)


def _settle(group: list[_Delivery], outcomes: Sequence[bool | NotRecorded]) -> None:
    for waiting, outcome in zip(group, outcomes, strict=True):
        if waiting.recorded.done():
            continue
        if isinstance(outcome, NotRecorded):
            waiting.recorded.set_exception(outcome)
        else:
            waiting.recorded.set_result(outcome)


def _give_up(recorded: "asyncio.Future[bool]") -> None:
    if not recorded.done():
        recorded.set_exception(NotRecorded(f"no commit within {WAIT_SECONDS} seconds"))
