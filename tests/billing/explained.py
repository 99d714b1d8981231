"""How PostgreSQL does what a function asks of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session


@contextmanager
def plans_of(session: Session, about: str) -> Iterator[list[str]]:
    """Collect the plan of each statement of the block that names `about`; for its end."""
    plans: list[str] = []
    asked: list[tuple[str, Any]] = []
    connection = session.connection()

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if about in statement:
            asked.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield plans
    finally:
        event.remove(connection, "before_cursor_execute", note)
    for statement, parameters in asked:
        lines = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars()
        plans.append("\n".join(lines))
