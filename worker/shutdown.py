"""Whether this worker was asked to end: its main process hears of it, its children ask here.

A child is never signalled while a task runs: Celery lets the task finish. A long one asks now and
then, begins nothing more and so ends soon.
"""

import mmap

from celery import signals

_flag = mmap.mmap(-1, 1)
"""One byte that the main process shares with all the children that it forks."""


def begin(**_: object) -> None:
    """Note that the worker is to end; called in its main process."""
    _flag[0] = 1


def has_begun() -> bool:
    """Return whether the worker of this process was asked to end."""
    return _flag[0] == 1


signals.worker_shutting_down.connect(begin)
