"""PostgreSQL: reached, new enough, migrated, its limits in force, its roles split, its clock."""

from collections.abc import Iterator

from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

import clock
from cli.examinations.diagnosis import Diagnosis, attention, broken, well
from db import limits, role_split, roles, schema_version
from db.errors import DatabaseUnavailable
from db.session import transaction
from errors import BillingError
from settings import Settings

OLDEST_POSTGRES = 15
SKEW_ATTENTION_SECONDS, SKEW_BROKEN_SECONDS = 2, 30
"""Signatures of webhooks are refused at five minutes; what is due is late by as much."""

_SERVER = text("""
SELECT current_setting('server_version') AS version,
       CAST(current_setting('server_version_num') AS int) / 10000 AS major,
       pg_is_in_recovery() AS is_standby,
       current_setting('server_encoding') AS encoding,
       clock_timestamp() AS at
""")
_LIMITS = {
    "statement_timeout": limits.STATEMENT_TIMEOUT_MS,
    "lock_timeout": limits.LOCK_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": limits.IDLE_IN_TRANSACTION_TIMEOUT_MS,
}
_LIMIT = text("SELECT CAST(setting AS bigint) FROM pg_settings WHERE name = :name")


def examine(known: Settings) -> Iterator[Diagnosis]:
    """Yield what is found by one connection as the processes make it."""
    try:
        with transaction() as session:
            yield from _examine(session, known)
    except DatabaseUnavailable as error:
        remedy = "start PostgreSQL (`make run`), or correct DATABASE_URL"
        yield broken("database", f"cannot be reached ({error})", remedy)
    except BillingError as error:
        yield broken("database", str(error).splitlines()[0], "see the message")


def _examine(session: Session, known: Settings) -> Iterator[Diagnosis]:
    before = clock.real_now()
    server = session.execute(_SERVER).one()
    after = clock.real_now()
    if server.major < OLDEST_POSTGRES:
        detail = f"PostgreSQL {server.version} is too old"
        yield broken("database", detail, f"use PostgreSQL {OLDEST_POSTGRES} or newer")
    elif server.is_standby:
        yield broken(
            "database", "is a standby: nothing can be written", "let DATABASE_URL name the primary"
        )
    else:
        yield well("database", f"PostgreSQL {server.version}")
    if server.encoding != "UTF8":
        yield broken("encoding", f"is {server.encoding}", "create the database with ENCODING UTF8")
    version = schema_version.read(session)
    if version.problem:
        yield broken("schema", version.problem, "run `billing migrate`")
    else:
        yield well("schema", f"revision {version.found}")
    yield from _limits(session)
    yield from _roles(session, known)
    yield _skew((server.at - (before + (after - before) / 2)).total_seconds())


def _limits(session: Session) -> Iterator[Diagnosis]:
    wrong = []
    for name, wanted in _LIMITS.items():
        seen = session.scalar(_LIMIT, {"name": name})
        if seen != wanted:
            wrong.append(f"{name} is {seen} ms, not {wanted}")
    if wrong:
        yield broken(
            "limits",
            "; ".join(wrong),
            "a pooler drops them: run `billing migrate`, which sets them on the role",
        )
    else:
        yield well("limits", "statement, lock and idle time limits are in force")


def _roles(session: Session, known: Settings) -> Iterator[Diagnosis]:
    lines = role_split.not_split(session, known)
    for line in lines:
        yield attention("roles", line, "give each its own: docs/how-to/run-on-your-own-servers.md")
    if not lines:
        name = session.scalar(text("SELECT current_user"))
        yield well("roles", f"DATABASE_URL works as {name}, who owns no table")
    owner = roles.role_of(known.database_owner_url)
    there, here = make_url(known.database_owner_url), make_url(known.database_url)
    if (there.host, there.port, there.database) != (here.host, here.port, here.database):
        detail = f"DATABASE_OWNER_URL ({owner}) and DATABASE_URL name different databases"
        yield attention("owner", detail, "see that both are the same database")


def _skew(seconds: float) -> Diagnosis:
    detail = f"PostgreSQL's clock differs by {seconds:+.1f} s from this computer's"
    remedy = "set both clocks by NTP"
    if abs(seconds) >= SKEW_BROKEN_SECONDS:
        return broken("clocks", detail, remedy)
    if abs(seconds) >= SKEW_ATTENTION_SECONDS:
        return attention("clocks", detail, remedy)
    return well("clocks", detail)
