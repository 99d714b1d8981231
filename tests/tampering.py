"""What only the owner of the tables can do: change the ledger behind its back."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from tests.conftest import owner

_APPEND_ONLY = text("""
SELECT tgrelid::regclass::text AS name, tgname FROM pg_trigger WHERE tgname LIKE 'append\\_only%'
""")


@contextmanager
def unguarded() -> Iterator[Connection]:
    """One transaction as the owner, with the append-only triggers and foreign keys switched off."""
    with owner() as connection:
        triggers = connection.execute(_APPEND_ONLY).all()
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table, trigger in triggers:
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}"))
        yield connection
        for table, trigger in triggers:
            connection.execute(text(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"))


def tamper(*statements: str) -> None:
    """Execute statements, `unguarded`."""
    with unguarded() as connection:
        for statement in statements:
            connection.execute(text(statement))
