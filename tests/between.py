"""What others commit between two statements of one answer: the answer must be of one moment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import event

from db import connections


@contextmanager
def once_read(table: str, happens: Callable[[], object]) -> Iterator[None]:
    """Let something happen, in a transaction of its own, once the block has read from `table`.

    Only after the first such statement; the block must make one.
    """
    reads = f"FROM {table}"
    happened: list[bool] = []

    def notice(*arguments: object) -> None:
        if not happened and reads in str(arguments[2]):
            happened.append(True)
            happens()

    engine = connections.engine()
    event.listen(engine, "after_cursor_execute", notice)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", notice)
    assert happened, f"nothing was read from {table}"
