"""Threads shared by callers: nobody takes all of them, and slow work never does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Event

import pytest

from service.thread_shares import AllTaken, ShareTaken, Sizes, ThreadShares

SIZES = Sizes(
    threads=4, of_a_caller=3, for_slow_work=2, for_slow_work_of_a_caller=1,
    waiting_of_a_caller=2, wait_seconds=0.2,
)  # fmt: skip


class Hall:
    """Threads, and work in them that lasts until it is let go."""

    def __init__(self, sizes: Sizes = SIZES) -> None:
        self.threads = ThreadShares(sizes)
        self.begun: list[str] = []
        self.tasks: list[asyncio.Task[str]] = []
        self._doors: dict[str, Event] = {}

    async def ask(self, *names: str, slow: bool = False) -> None:
        """Have work begin, in order; the first letter of its name is its caller."""
        for name in names:
            self._doors[name] = Event()
            work = self.threads.run(name[0], partial(self._work, name), slow=slow)
            self.tasks.append(asyncio.create_task(work, name=name))
            await asyncio.sleep(0.02)

    async def let_go(self, name: str) -> None:
        self._doors[name].set()
        await asyncio.sleep(0.05)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what other threads do in their own time."""
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.01)

    def _work(self, name: str) -> str:
        self.begun.append(name)
        self._doors[name].wait(10)
        return name

    async def outcome(self, name: str) -> str:
        [task] = [task for task in self.tasks if task.get_name() == name]
        return await task

    async def clear(self) -> None:
        for door in self._doors.values():
            door.set()
        for task in self.tasks:
            with suppress(ShareTaken, AllTaken, asyncio.CancelledError):
                await task


def play(story: Callable[[Hall], Awaitable[None]], sizes: Sizes = SIZES) -> None:
    async def whole() -> None:
        hall = Hall(sizes)
        try:
            await story(hall)
        finally:
            await hall.clear()

    asyncio.run(whole())


def test_one_caller_does_not_take_all_threads() -> None:
    async def story(hall: Hall) -> None:
        await hall.ask("a1", "a2", "a3", "a4", "b1")
        assert hall.begun == ["a1", "a2", "a3", "b1"]

        await hall.let_go("a1")
        assert hall.begun[-1] == "a4"
        assert await hall.outcome("a1") == "a1"

    play(story)


def test_slow_work_leaves_threads_to_its_own_caller_and_to_others() -> None:
    async def story(hall: Hall) -> None:
        await hall.ask("a1", "a2", "b1", "c1", slow=True)
        await hall.ask("a3", "d1")
        assert hall.begun == ["a1", "b1", "a3", "d1"]

    play(story)


def test_callers_who_wait_take_turns() -> None:
    async def story(hall: Hall) -> None:
        await hall.ask("a1", "a2", "b1", "b2", "a3", "a4", "c1")
        for name in ("a1", "a2", "b1"):
            await hall.let_go(name)
        assert hall.begun == ["a1", "a2", "b1", "b2", "a3", "c1", "a4"]

    play(story, replace(SIZES, wait_seconds=5))


def test_a_caller_with_too_much_in_progress_is_refused() -> None:
    async def story(hall: Hall) -> None:
        await hall.ask("a1", "a2", "a3", "a4", "a5", "a6")
        with pytest.raises(ShareTaken):  # nobody may wait any more
            await hall.outcome("a6")
        for waited_too_long in ("a4", "a5"):
            with pytest.raises(ShareTaken):
                await hall.outcome(waited_too_long)
        await hall.let_go("a1")
        assert hall.begun == ["a1", "a2", "a3"]

    play(story)


def test_who_waits_for_others_is_told_so() -> None:
    async def story(hall: Hall) -> None:
        await hall.ask("a1", "a2", "b1", "b2", "c1")
        with pytest.raises(AllTaken):
            await hall.outcome("c1")

    play(story)


def test_work_that_fails_gives_its_thread_back() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    async def story() -> None:
        threads = ThreadShares(SIZES)
        for _ in range(10):
            with pytest.raises(ZeroDivisionError):
                await threads.run("a", fails, slow=True)

    asyncio.run(story())


def test_work_that_nobody_waits_for_any_more_has_its_thread_until_it_ends() -> None:
    async def story(hall: Hall) -> None:
        await hall.ask("a1", "a2", "a3")
        for task in hall.tasks:
            task.cancel()
        await hall.ask("a4", "b1")
        await hall.until(lambda: hall.begun == ["a1", "a2", "a3", "b1"])

        await hall.let_go("a1")
        await hall.until(lambda: hall.begun == ["a1", "a2", "a3", "b1", "a4"])

    play(story, replace(SIZES, wait_seconds=5))


@pytest.mark.parametrize("turns_of_the_loop", [0, 1, 2, 3])
def test_who_leaves_while_waiting_holds_nobody_up(turns_of_the_loop: int) -> None:
    async def story(hall: Hall) -> None:
        # Given one who left a while ago, and another who leaves just when its turn comes
        await hall.ask("a1", "a2", "a3", "a4", "a5")
        hall.tasks[3].cancel()
        await asyncio.sleep(0.02)
        await hall.ask("a6")
        hall._doors["a1"].set()
        time.sleep(0.05)  # not on the loop: the end of this work waits for it
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)
        hall.tasks[4].cancel()

        # Then the next one begins, and in the end all threads are free
        await hall.until(lambda: len(hall.begun) == 4)
        assert hall.begun[3] in {"a5", "a6"}
        for name in ("a2", "a3", "a5", "a6"):
            await hall.let_go(name)
        await hall.until(lambda: not hall.threads._running)
        assert hall.begun[-1] == "a6"
        assert not hall.threads._lines

    play(story, replace(SIZES, wait_seconds=5))
