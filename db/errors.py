"""The root of the error tree: what may be tried again, and what may not.

Every error a rule raises on purpose is one of these, with typed fields and a message that tells
a person what to do. `TransientError` is retried by the inbox; `PermanentError` goes dead.
"""


class BillingError(Exception):
    """Base of every error that this system raises on purpose."""


class TransientError(BillingError):
    """The same call may succeed later: it is tried again."""


class PermanentError(BillingError):
    """The same call can never succeed: it goes dead, visible and replayable."""


class DatabaseUnavailable(TransientError):
    """PostgreSQL cannot be reached, or closed the connection."""


class DatabaseBusy(TransientError):
    """A lock, a deadlock or a time limit stood in the way; nothing was written."""


class SchemaMissing(TransientError):
    """The database is not at the schema this code needs."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"{detail}: run `billing migrate`")


class RightMissing(TransientError):
    """The database's role has no right to do this."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"{detail}: run `billing migrate` as the owner of the tables (DATABASE_OWNER_URL)"
        )
