"""Failures of PostgreSQL: nothing was written. No message holds SQL or a parameter.

The transient ones may succeed later; `StatementRefused` never will.
"""

from collections.abc import Mapping

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


class LimitsNotInForce(TransientError):
    """A new connection is not set to our limits: a pooler drops what is asked for at the start."""

    def __init__(self, role: str, wrong: Mapping[str, tuple[str, str]]) -> None:
        differences = ", ".join(f"{n} is {found}, not {need}" for n, (found, need) in wrong.items())
        super().__init__(
            f"the connections of role {role!r} lack our limits ({differences}): run `billing"
            " migrate`, which sets them on the role, then let the pooler open its connections anew"
            " (PgBouncer: RECONNECT)"
        )
        self.role = role
        self.wrong = dict(wrong)


class SearchPathDropped(TransientError):
    """A connection works in other schemas than its address asks for: a pooler drops `options`."""

    def __init__(self, asked: str, found: str) -> None:
        super().__init__(
            f"the address asks for search_path={asked}, and {found} is in force: a pooler drops"
            " `options`; set it on each role (ALTER ROLE ... IN DATABASE ... SET search_path ="
            f" {asked}), then let the pooler open its connections anew (PgBouncer: RECONNECT)"
        )
        self.asked = asked
        self.found = found


class PoolerRefuses(TransientError):
    """A pooler refuses what we ask for at the start of a connection."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"{detail}: let the pooler ignore it (PgBouncer: ignore_startup_parameters = options),"
            " and run `billing migrate`, which sets our limits on the role"
        )


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
