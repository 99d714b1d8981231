"""Failures of PostgreSQL: nothing was written, and the same call may succeed later."""

from errors import TransientError


class DatabaseUnavailable(TransientError):
    """PostgreSQL cannot be reached, or closed the connection."""


class DatabaseBusy(TransientError):
    """A lock, a deadlock or a time limit stopped the transaction; nothing was written."""


class SchemaMissing(TransientError):
    """The database is not at the schema that this code needs."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"{detail}: run `billing migrate`")


class SchemaMismatch(TransientError):
    """The schema of the database is another one than this code needs; the message says which."""


class RightMissing(TransientError):
    """The database's role has no right to do this."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"{detail}: run `billing migrate` as the owner of the tables (DATABASE_OWNER_URL)"
        )
