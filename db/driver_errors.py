"""The driver's errors as ours (`db/errors.py`); used by `db/session.py` and `billing migrate`.

No error of the driver leaves a transaction as it is: its text holds SQL and parameters, which are
what a sender wrote. Ours keep the SQLSTATE, and of the schema the names of a table or constraint.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import errorcodes
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    PoolerRefuses,
    RightMissing,
    SchemaMissing,
    StatementFailed,
    StatementRefused,
)
from errors import BillingError

_BUSY = {
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.LOCK_NOT_AVAILABLE,
    errorcodes.QUERY_CANCELED,
    errorcodes.SERIALIZATION_FAILURE,
}
_LOST = ("08", "57P", "53", "25006")
"""08: connection exceptions. 57P: the server is stopping, was killed or is starting. 53: it is out
of connections, memory or disk. 25006: a standby that was not promoted."""
_NEVER = ("22", "42", "21", "54")
"""22: a value that the type cannot hold. 42: a statement that is not valid.
21: a wrong number of rows or columns. 54: over a limit of PostgreSQL, such as an index entry's."""
_OTHER_SCHEMA = {
    errorcodes.UNDEFINED_TABLE,
    errorcodes.UNDEFINED_COLUMN,
    errorcodes.UNDEFINED_FUNCTION,
    errorcodes.UNDEFINED_OBJECT,
    errorcodes.INVALID_COLUMN_REFERENCE,  # ON CONFLICT without its unique index
    errorcodes.INVALID_SCHEMA_NAME,
}
"""Nobody sends these: code and database are not of one version, until somebody migrates."""
_NEVER_SENT = (psycopg2.DataError, psycopg2.ProgrammingError, psycopg2.NotSupportedError)
"""What the driver itself refuses, without a SQLSTATE. Its `DatabaseError` is another case: a lost
connection whose end it noticed late (github.com/psycopg/psycopg2/issues/1496)."""
_NEVER_IN_A_ROW = {errorcodes.NOT_NULL_VIOLATION, errorcodes.CHECK_VIOLATION}
"""Of class 23. The others depend on rows of others, and may pass when those are gone."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors instead of the driver's; every other error passes.

    Raises `DatabaseBusy`, `DatabaseUnavailable`, `SchemaMissing`, `RightMissing`,
    `PoolerRefuses`, which are transient; `StatementRefused`, which is permanent;
    `StatementFailed` for the rest.
    """
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseBusy("each connection of this process is in use") from error
    except (DBAPIError, psycopg2.Error) as error:
        raise _ours(error.orig if isinstance(error, DBAPIError) else error) from error
    except StatementError as error:  # a value that SQLAlchemy could not give to the driver
        raise StatementRefused(f"{type(error.orig).__name__} before it was sent") from error
    except UnicodeEncodeError as error:
        raise StatementRefused("a text that is not UTF-8") from error
    except ValueError as error:
        if "NUL (0x00)" not in str(error):  # psycopg2's; another one is not about a statement
            raise
        raise StatementRefused("a text with the character U+0000") from error


def _ours(error: BaseException | None) -> BillingError:  # noqa: PLR0911 - one line a kind
    code = getattr(error, "pgcode", None) or ""
    if code in _BUSY:
        return DatabaseBusy(_first_line(error))
    if "unsupported startup parameter" in str(error):  # PgBouncer's words
        return PoolerRefuses(_first_line(error))
    if code.startswith(_LOST) or not (code or isinstance(error, _NEVER_SENT)):
        return DatabaseUnavailable(_first_line(error))  # no code: the socket broke
    if code in _OTHER_SCHEMA:
        return SchemaMissing(_first_line(error))
    if code == errorcodes.INSUFFICIENT_PRIVILEGE:
        return RightMissing(_first_line(error))
    if code.startswith(_NEVER) or code in _NEVER_IN_A_ROW or not code:
        return StatementRefused(_kind(error, code))
    return StatementFailed(_kind(error, code))


def _kind(error: BaseException | None, code: str) -> str:
    """Return an error's SQLSTATE and its name, with the table and constraint that it is about."""
    if not code:
        return f"{type(error).__name__} in the driver"
    about = getattr(error, "diag", None)
    names = [getattr(about, f"{part}_name", None) for part in ("table", "constraint")]
    at = ", ".join(name for name in names if name)
    try:
        kind = errorcodes.lookup(code).lower()
    except KeyError:
        kind = "an error of its own"
    return f"{code} {kind}" + (f" ({at})" if at else "")


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n", 1)[0]
