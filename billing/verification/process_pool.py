"""Work on one snapshot of the database in several processes.

Hashing is plain Python, which only processes make faster, not threads. Each has a connection of its
own on the same snapshot and gets the next task when it has done one. They are spawned, not forked:
a child must not inherit its parent's connections. Used by `billing/verification/proof.py`.
"""

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

from sqlalchemy.orm import Session

from billing.verification.errors import VerificationFailed
from db.errors import DatabaseBusy, DatabaseUnavailable
from db.session import SharedSnapshot, same_snapshot
from errors import BillingError

Work = Callable[[Session, Any], Iterable[Any]]
"""What a child does with a task. Both are pickled; the parent yields what it yields."""

STOP_SECONDS = 5

_TASK_DONE = None
_NO_MORE = None


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error of a child, reduced to what a person needs."""

    kind: str
    message: str

    def error(self) -> BillingError:
        for kind in (DatabaseUnavailable, DatabaseBusy):
            if self.kind == kind.__name__:
                return kind(self.message)
        return VerificationFailed(f"a process of the verification failed: {self.message}")


def run(
    shared: SharedSnapshot, work: Work, tasks: Iterable[Any], *, jobs: int
) -> Generator[Any, None, None]:
    """Do every task in up to `jobs` processes; yield what their work yields, as it comes.

    Raises the first error of a child: the database's errors as they are; any other error, and the
    sudden end of a child, as `VerificationFailed`. In every case it leaves no child behind.
    """
    waiting = deque(tasks)
    children: dict[Connection, _Child] = {}
    try:
        for _ in range(min(jobs, len(waiting))):
            child = _Child.start(shared, work)
            children[child.pipe] = child
            child.give(waiting.popleft())
        while children:
            for pipe in wait(list(children)):
                child = children[pipe]  # type: ignore[index]
                message = child.receive()
                if message is not _TASK_DONE:
                    yield message
                elif waiting:
                    child.give(waiting.popleft())
                else:
                    child.give(_NO_MORE)
                    child.join()
                    del children[child.pipe]
    finally:
        for child in children.values():
            child.process.terminate()
        for child in children.values():
            child.join()


@dataclass(frozen=True)
class _Child:
    process: BaseProcess
    pipe: Connection

    @classmethod
    def start(cls, shared: SharedSnapshot, work: Work) -> Self:
        context = get_context("spawn")
        pipe, its_end = context.Pipe()
        process = context.Process(target=_serve, args=(its_end, shared, work), daemon=True)
        # Ctrl-C reaches every process of the terminal. Only the parent answers it and ends the
        # children, which inherit the blocked signal.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        its_end.close()
        return cls(process, pipe)

    def give(self, task: Any) -> None:
        try:
            self.pipe.send(task)
        except OSError:
            self._end_suddenly()

    def receive(self) -> Any:
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            self._end_suddenly()
        if isinstance(message, _Failure):
            raise message.error()
        return message

    def join(self) -> None:
        self.process.join(STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()

    def _end_suddenly(self) -> None:
        self.process.join(STOP_SECONDS)
        raise VerificationFailed(
            f"a process of the verification ended suddenly (exit code {self.process.exitcode})"
        )


def _serve(pipe: Connection, shared: SharedSnapshot, work: Work) -> None:
    try:
        with same_snapshot(shared) as session:
            while (task := pipe.recv()) is not _NO_MORE:
                for result in work(session, task):
                    pipe.send(result)
                pipe.send(_TASK_DONE)
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone
    except Exception as error:  # noqa: BLE001 - the parent raises it, in one line
        message = str(error).strip() or "no reason was given"
        kind = type(error).__name__
        text = message if isinstance(error, BillingError) else f"{kind}: {message}"
        pipe.send(_Failure(kind, " ".join(text.split())))
