"""Threads shared by many callers: none of them, and no slow kind of work, can take all.

A caller who wants more than its share waits, without a thread, and only in its own line: when a
thread is free the lines take turns. Used by `api/server.py`, on its event loop; nothing here is
called from another thread.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Sizes:
    """How many threads there are, and how many of them one caller, and slow work, can take."""

    threads: int
    of_a_caller: int
    for_slow_work: int
    for_slow_work_of_a_caller: int
    waiting_of_a_caller: int
    """So many more may wait; the next is refused at once."""
    wait_seconds: float
    """Who has not begun by then is refused."""


class ShareTaken(Exception):
    """The caller itself has so much in progress that this cannot begin in time."""


class AllTaken(Exception):
    """Others have taken all threads for so long that this could not begin in time."""


class ThreadShares:
    """The threads of one process."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._pool = ThreadPoolExecutor(sizes.threads, thread_name_prefix="request")
        self._running: Counter[_Count] = Counter()
        self._lines: OrderedDict[tuple[str, bool], deque[_Turn]] = OrderedDict()

    async def run(self, caller: str, work: Callable[[], _T], *, slow: bool) -> _T:
        """Do `work` in a thread when it is the caller's turn, and return what it returns.

        Raises `ShareTaken` or `AllTaken` if it was not begun, and whatever `work` raises. If this
        is cancelled, work that has begun goes on, and its thread is taken until it ends.
        """
        loop = asyncio.get_running_loop()
        turn = _Turn(caller, slow, loop.create_future())
        await self._begin(turn)
        working = loop.run_in_executor(self._pool, work)
        working.add_done_callback(lambda _: self._end(turn))
        return await asyncio.shield(working)

    async def _begin(self, turn: "_Turn") -> None:
        line = self._lines.get(turn.line)
        if line is None and self._fits(turn):
            self._count(turn, 1)
            return
        if self._waiting(turn.caller) >= self._sizes.waiting_of_a_caller:
            raise ShareTaken
        self._lines.setdefault(turn.line, deque()).append(turn)
        timer = asyncio.get_running_loop().call_later(self._sizes.wait_seconds, self._give_up, turn)
        try:
            await turn.begun
        except asyncio.CancelledError:
            self._leave(turn)
            raise
        finally:
            timer.cancel()

    def _end(self, turn: "_Turn") -> None:
        self._count(turn, -1)
        for name in list(self._lines):
            line = self._lines[name]
            while line and line[0].begun.cancelled():
                line.popleft()
            if line and self._fits(line[0]):
                following = line.popleft()
                self._count(following, 1)
                following.begun.set_result(None)
                self._lines.move_to_end(name)
            self._drop_if_empty(name)
            if self._running[_ALL] >= self._sizes.threads:
                return

    def _leave(self, turn: "_Turn") -> None:
        """Let the others go on without a turn that was cancelled."""
        line = self._lines.get(turn.line, deque())
        if turn in line:
            line.remove(turn)
            self._drop_if_empty(turn.line)
        elif not turn.begun.cancelled() and turn.begun.exception() is None:  # it could have begun
            self._end(turn)

    def _give_up(self, turn: "_Turn") -> None:
        line = self._lines.get(turn.line, deque())
        if turn.begun.done() or turn not in line:
            return
        line.remove(turn)
        self._drop_if_empty(turn.line)
        own = any(self._running[count] >= most for count, most in self._limits(turn) if count[0])
        turn.begun.set_exception(ShareTaken() if own else AllTaken())

    def _drop_if_empty(self, name: tuple[str, bool]) -> None:
        if not self._lines[name]:
            del self._lines[name]

    def _waiting(self, caller: str) -> int:
        return sum(len(self._lines.get((caller, slow), ())) for slow in (False, True))

    def _limits(self, turn: "_Turn") -> tuple[tuple["_Count", int], ...]:
        sizes = self._sizes
        limits = ((_ALL, sizes.threads), ((turn.caller, False), sizes.of_a_caller))
        if not turn.slow:
            return limits
        return (
            *limits,
            (_ALL_SLOW, sizes.for_slow_work),
            ((turn.caller, True), sizes.for_slow_work_of_a_caller),
        )

    def _fits(self, turn: "_Turn") -> bool:
        return all(self._running[count] < most for count, most in self._limits(turn))

    def _count(self, turn: "_Turn", change: int) -> None:
        for count, _ in self._limits(turn):
            self._running[count] += change
            if not self._running[count]:
                del self._running[count]


_Count = tuple[str, bool]
"""A caller (all of them: the empty text), and whether only slow work counts."""
_ALL: _Count = ("", False)
_ALL_SLOW: _Count = ("", True)


@dataclass(eq=False, slots=True)
class _Turn:
    caller: str
    slow: bool
    begun: "asyncio.Future[None]"
    """Done when it may begin; not needed by one that never waits."""

    @property
    def line(self) -> tuple[str, bool]:
        return self.caller, self.slow
