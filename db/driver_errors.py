"""The driver's errors as ours (`db/errors.py`); used by `db/session.py` and `billing migrate`."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import errorcodes
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import DatabaseBusy, DatabaseUnavailable, RightMissing, SchemaMissing

_BUSY = {
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.LOCK_NOT_AVAILABLE,
    errorcodes.QUERY_CANCELED,
    errorcodes.SERIALIZATION_FAILURE,
}
_LOST = ("08", "57P", "53", "25006")
"""08: connection exceptions. 57P: the server is stopping, was killed or is starting. 53: it is out
of connections, memory or disk. 25006: a standby that was not promoted."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors instead of the driver's, if somebody can do something about them.

    Raises `DatabaseBusy`, `DatabaseUnavailable`, `SchemaMissing`, `RightMissing`; lets any other
    error through.
    """
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseBusy("each connection of this process is in use") from error
    except (DBAPIError, psycopg2.Error) as error:
        driver_error = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(driver_error, "pgcode", None) or ""
        if code in _BUSY:
            raise DatabaseBusy(_first_line(driver_error)) from error
        broken = isinstance(driver_error, psycopg2.OperationalError | psycopg2.InterfaceError)
        if code.startswith(_LOST) or (broken and not code):  # no code: the socket broke
            raise DatabaseUnavailable(_first_line(driver_error)) from error
        if code in {errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN}:
            raise SchemaMissing(_first_line(driver_error)) from error
        if code == errorcodes.INSUFFICIENT_PRIVILEGE:
            raise RightMissing(_first_line(driver_error)) from error
        raise


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n", 1)[0]
