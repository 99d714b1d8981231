"""Several processes at one piece of work each, on a clock that starts when all of them are ready.

They are spawned: each has connections of its own, as the product's processes have. One process
is measured in the same way, so that one and two differ in nothing else.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any, Generic, TypeVar

from benchmarks.report import WrongOutcome

Share = TypeVar("Share")
Result = TypeVar("Result")

READY_SECONDS = 120
"""A process that is not ready by then ends the measurement."""


@dataclass(frozen=True)
class Done(Generic[Result]):
    """What the processes handed back, and the time from the common start to the last one's end."""

    seconds: float
    results: list[Result]


@dataclass(frozen=True)
class Crew:
    """Processes that wait for work; `started` makes one."""

    pool: ProcessPoolExecutor
    start: Barrier
    size: int

    def work(
        self, prepare: Callable[[Share], Callable[[], Result]], shares: Sequence[Share]
    ) -> Done[Result]:
        """Do one share in each process, and wait for the last; raise `WrongOutcome`.

        `prepare`, a function of a module, gets ready for a share before the clock starts and
        returns what does it.
        """
        assert len(shares) == self.size
        # A process that waits for the others takes no second share.
        futures = [self.pool.submit(_work, prepare, share) for share in shares]
        try:
            self.start.wait(READY_SECONDS)
        except BrokenBarrierError:
            raise _first_error(futures) from None
        started_at = time.perf_counter()
        results = [future.result() for future in futures]
        return Done(time.perf_counter() - started_at, results)


@contextmanager
def started(size: int, *, begin: Callable[[], None] | None = None) -> Iterator[Crew]:
    """Have `size` processes for the block; each calls `begin` once."""
    context = get_context("spawn")
    start = context.Barrier(size + 1)
    pool = ProcessPoolExecutor(
        size, mp_context=context, initializer=_begin, initargs=(start, begin)
    )
    try:
        yield Crew(pool, start, size)
    finally:
        start.abort()  # whoever still waits there
        pool.shutdown(cancel_futures=True)


_starts: list[Barrier] = []
"""The one of this process: a barrier is inherited, it cannot be sent along with the work."""


def _begin(start: Barrier, begin: Callable[[], None] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to answer
    _starts.append(start)
    if begin:
        begin()


def _work(prepare: Callable[[Share], Callable[[], Result]], share: Share) -> Result:
    (start,) = _starts
    try:
        run = prepare(share)
        start.wait(READY_SECONDS)
        return run()
    except BrokenBarrierError:
        raise
    except Exception as error:  # noqa: BLE001 - the parent raises it
        start.abort()  # the others need not wait
        # Not the error itself: not every one of them can be sent to another process.
        raise WrongOutcome(f"{type(error).__name__}: {error}") from None


def _first_error(futures: Sequence[Future[Any]]) -> BaseException:
    errors = [error for future in futures if (error := future.exception())]
    own = [error for error in errors if not isinstance(error, BrokenBarrierError)]
    return (own or [WrongOutcome(f"not every process was ready in {READY_SECONDS} s")])[0]
