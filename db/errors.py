"""Failures of PostgreSQL: nothing was written. No message holds SQL or a parameter.

The transient ones may succeed later; `StatementRefused` never will.
"""

from errors import BillingError, PermanentError, TransientError


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


class StatementRefused(PermanentError):
    """PostgreSQL or its driver can never carry this out: it holds a value that cannot be stored."""

    def __init__(self, why: str) -> None:
        """`why` names the kind of refusal, without SQL and without the value."""
        super().__init__(f"PostgreSQL cannot store or look for this: {why}")
        self.why = why


class StatementFailed(BillingError):
    """The statement failed in a way that nobody foresaw; the same call may succeed or not."""

    def __init__(self, why: str) -> None:
        """`why` names the kind of failure, without SQL and without a value."""
        super().__init__(f"PostgreSQL did not carry out the statement: {why}")
        self.why = why
