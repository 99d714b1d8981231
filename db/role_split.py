"""Which roles of the database are not apart, and what is lost by that; read by `billing doctor`.

What `db/grants.py` gives a role is of no use if the role is the owner, a superuser, or a member of
another one: PostgreSQL then lets it do all that the other may.
"""

from collections.abc import Iterator

from sqlalchemy import text
from sqlalchemy.orm import Session

import settings
from db import roles
from db.roles import VARIABLES, Role

_LOSSES = {
    (Role.WORKERS, Role.OWNER): "workers can rewrite the ledger",
    (Role.DOORS, Role.OWNER): "receiver and API can rewrite the ledger and make API keys",
    (Role.RETENTION, Role.OWNER): "what blanks bodies can rewrite the ledger",
    (Role.DOORS, Role.WORKERS): "receiver and API have the workers' rights",
    (Role.RETENTION, Role.WORKERS): "workers can blank bodies, or nobody can",
    (Role.RETENTION, Role.DOORS): "receiver and API can blank bodies, or nobody can",
    (Role.DOORS, Role.RETENTION): "receiver and API can blank bodies",
    (Role.WORKERS, Role.RETENTION): "workers can blank bodies",
}
"""The roles (one, other) -> what it means that the first may do what the second may."""


def not_split(session: Session, known: settings.Settings) -> list[str]:
    """Return one line for each pair of roles that are one, or undone by a membership.

    The owner is who owns the tables, whatever DATABASE_OWNER_URL says: it is set nowhere but
    where migrations run.
    """
    here = session.execute(_HERE).one()
    addresses = roles.addresses(known)
    # Addresses without a name lead to the same one.
    named = {role: roles.role_of(url) or here.name for role, url in addresses.items()}
    named[Role.OWNER] = here.owner or named[Role.OWNER]
    may = {(a, b) for a, b in session.execute(_MEMBERS, {"names": list(named.values())})}
    superusers = set(session.scalars(_SUPERUSERS, {"names": list(named.values())}))
    return list(_lines(named, may, superusers))


def _lines(
    named: dict[Role, str], may: set[tuple[str, str]], superusers: set[str]
) -> Iterator[str]:
    for role, name in named.items():
        if role is not Role.OWNER and name in superusers:
            yield f"{VARIABLES[role]} works as the superuser {name}: every right is its own"
    for (one, other), loss in _LOSSES.items():
        name, of = named[one], named[other]
        if name == of:
            if other is Role.OWNER:
                yield f"{VARIABLES[one]} works as {name}, who owns the tables: {loss}"
            elif (other, one) not in _LOSSES or one is Role.RETENTION:  # once for both directions
                yield f"{VARIABLES[one]} and {VARIABLES[other]} both work as {name}: {loss}"
        elif (name, of) in may and name not in superusers:
            yield f"{VARIABLES[one]} works as {name}, a member of {of}: {loss}"


_HERE = text("""
SELECT current_user AS name,
       (SELECT pg_get_userbyid(relowner) FROM pg_class
         WHERE relname = 'credit_transactions' AND relkind = 'r'
           AND relnamespace = CAST(current_schema() AS regnamespace)) AS owner
""")
_MEMBERS = text("""
SELECT one.rolname, other.rolname FROM pg_roles one, pg_roles other
 WHERE one.rolname = ANY(:names) AND other.rolname = ANY(:names)
   AND pg_has_role(one.oid, other.oid, 'MEMBER')
""")
_SUPERUSERS = text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names) AND rolsuper")
