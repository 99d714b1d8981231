"""The rights of the roles, granted again after every migration: what `db/roles.py` says, no more.

Called by `db/migrations/env.py` in the transaction of the migrations: running processes keep their
rights, and no table is ever there without them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from db import roles
from db.roles import Addresses, Right, Role
from errors import PermanentError

Rights = dict[str, set[Right]]
"""The name of a table, view, sequence or function, quoted where it must be -> rights on it."""


class UnknownRole(PermanentError):
    """The role of an address does not exist on the server."""

    def __init__(self, role: str, variable: str) -> None:
        super().__init__(
            f"the role {role!r} of {variable} does not exist in PostgreSQL:"
            f" create it (docs/how-to/run-on-your-own-servers.md), then run `billing migrate` again"
        )
        self.role = role


@dataclass(frozen=True, slots=True)
class RoleRights:
    """What was done to the rights of one PostgreSQL role."""

    role: str
    stands_for: tuple[Role, ...]
    added: tuple[str, ...]
    """Such as `UPDATE (name) ON accounts`."""
    taken: tuple[str, ...]


def roles_of(addresses: Addresses) -> dict[str, tuple[Role, ...]]:
    """Return each PostgreSQL role that the addresses name, with the roles it stands for."""
    named: dict[str, tuple[Role, ...]] = {}
    for role, url in addresses.items():
        if name := roles.role_of(url):
            named[name] = (*named.get(name, ()), role)
    return named


def grant(connection: Connection, addresses: Addresses) -> list[RoleRights]:
    """Grant each role its rights on everything, and revoke everything else.

    Leaves the connected role alone, which is the owner. To be called in one transaction with the
    migrations. Raises `UnknownRole`.
    """
    owner = connection.scalar(text("SELECT current_user"))
    schema = str(connection.scalar(text("SELECT current_schema()")))
    others = {name: stands for name, stands in roles_of(addresses).items() if name != owner}
    for name, stands_for in others.items():
        if not connection.scalar(_EXISTS, {"role": name}):
            raise UnknownRole(name, roles.VARIABLES[stands_for[0]])
    if others and connection.scalar(_MAY_CREATE, {"schema": schema}):
        # The default before PostgreSQL 15, and in databases upgraded from it.
        quoted = roles.quoted(schema)
        connection.exec_driver_sql(_literal(f"REVOKE CREATE ON SCHEMA {quoted} FROM PUBLIC"))
    _keep_functions_for_retention(connection, schema)
    return [_grant_one(connection, schema, name, stands_for) for name, stands_for in others.items()]


def needed(connection: Connection, schema: str, stands_for: Sequence[Role]) -> Rights:
    """Return the rights of a PostgreSQL role that stands for these roles."""
    rights: Rights = {}
    for found in connection.execute(_OBJECTS, _parameters(schema)).all():
        for role in stands_for:
            rights.setdefault(found.name, set()).update(_right_of(role, found))
    return {
        name: {(what, column) for what, column in may if column is None or (what, None) not in may}
        for name, may in rights.items()
        if may
    }


def given(connection: Connection, schema: str, role: str) -> Rights:
    """Return the rights that a PostgreSQL role has itself in a schema."""
    rights: Rights = {}
    for name, privilege, column in connection.execute(_GIVEN, _parameters(schema) | {"role": role}):
        rights.setdefault(name, set()).add((privilege, column))
    return rights


def difference(more: Rights, less: Rights) -> tuple[str, ...]:
    """Return the rights of `more` that are not in `less`, as texts such as `SELECT ON TABLE x`."""
    return tuple(
        f"{clause} ON {name}"
        for name, may in sorted(more.items())
        for clause in _clauses(may - less.get(name, set()))
    )


def _right_of(role: Role, found: Row[Any]) -> set[Right]:
    touches_tables = role in (Role.WORKERS, Role.DOORS)
    match found.kind:
        case "schema":
            return {("USAGE", None)}
        case "function":
            return {("EXECUTE", None)} if role is Role.RETENTION else set()
        case "S":
            return {("USAGE", None)} if touches_tables else set()
    may = roles.rights(role, found.table, found.columns, append_only=found.append_only)
    if found.kind == "v":
        return {right for right in may if right[0] == "SELECT"}
    quoted = dict(zip(found.columns, found.quoted, strict=True))
    return {
        (what, column and quoted[column])
        for what, column in may
        if column is None or column in quoted  # an earlier revision may lack it
    }


def _grant_one(
    connection: Connection, schema: str, role: str, stands_for: tuple[Role, ...]
) -> RoleRights:
    before, after = given(connection, schema, role), needed(connection, schema, stands_for)
    quoted = roles.quoted(role)
    for clause in difference(before, after):
        connection.exec_driver_sql(_literal(f"REVOKE {clause} FROM {quoted}"))
    # Read again: to revoke a right on a table takes the same right on its columns as well.
    for clause in difference(after, given(connection, schema, role)):
        connection.exec_driver_sql(_literal(f"GRANT {clause} TO {quoted}"))
    return RoleRights(role, stands_for, difference(after, before), difference(before, after))


def _keep_functions_for_retention(connection: Connection, schema: str) -> None:
    """Let only who is granted it call the retention functions, which see no other schema.

    By default everybody may call a function, and one that works as its owner would find a
    caller's tables first.
    """
    quoted = roles.quoted(schema)
    for found in connection.execute(_OBJECTS, _parameters(schema)).all():
        if found.kind == "function":
            for change in (
                f"REVOKE ALL ON {found.name} FROM PUBLIC",
                f"ALTER {found.name} SECURITY DEFINER SET search_path = {quoted}, pg_temp",
            ):
                connection.exec_driver_sql(_literal(change))


def _clauses(rights: Iterable[Right]) -> Iterable[str]:
    """Return the privileges as SQL has them, those on columns together: `UPDATE (a, b)`."""
    columns: dict[str, list[str]] = {}
    for privilege, column in sorted(rights, key=lambda right: (right[0], right[1] or "")):
        if column is None:
            yield privilege
        else:
            columns.setdefault(privilege, []).append(column)
    for privilege, named in columns.items():
        yield f"{privilege} ({', '.join(named)})"


def _parameters(schema: str) -> dict[str, object]:
    return {"schema": schema, "functions": list(roles.RETENTION_FUNCTIONS)}


def _literal(statement: str) -> str:
    return statement.replace("%", "%%")  # the driver's sign for a parameter


_EXISTS = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
_MAY_CREATE = text("""
SELECT EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
                WHERE n.nspname = :schema AND a.grantee = 0 AND a.privilege_type = 'CREATE')
""")
_FOUND = """
WITH space AS (SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname = :schema),
relations AS (
  SELECT c.*, format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                     nspname, relname) AS name
    FROM pg_class c JOIN space ON space.oid = relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'S') AND pg_has_role(c.relowner, 'MEMBER')),
functions AS (
  SELECT p.*, format('FUNCTION %s', CAST(p.oid AS regprocedure)) AS name
    FROM pg_proc p JOIN space ON space.oid = pronamespace WHERE proname = ANY(:functions))
"""
_OBJECTS = text(
    _FOUND  # noqa: S608 - constants
    + """
SELECT format('SCHEMA %I', nspname) AS name, 'schema' AS kind, '' AS table, false AS append_only,
       CAST(ARRAY[] AS text[]) AS columns, CAST(ARRAY[] AS text[]) AS quoted FROM space
UNION ALL
SELECT c.name, CAST(c.relkind AS text), c.relname,
       EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'append_only'),
       columns.names, columns.quoted
  FROM relations c CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(CAST(attname AS text)), '{}') AS names,
              coalesce(array_agg(format('%I', attname)), '{}') AS quoted
         FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) columns
UNION ALL
SELECT name, 'function', '', false, CAST(ARRAY[] AS text[]), CAST(ARRAY[] AS text[]) FROM functions
 ORDER BY name
"""
)
_GIVEN = text(
    _FOUND  # noqa: S608 - constants
    + """
SELECT o.name, a.privilege_type, o.attname
  FROM (SELECT format('SCHEMA %I', nspname) AS name, nspacl AS acl, NULL AS attname FROM space
        UNION ALL SELECT name, relacl, NULL FROM relations
        UNION ALL SELECT c.name, attacl, format('%I', attname)
                    FROM relations c JOIN pg_attribute ON attrelid = c.oid
                   WHERE attacl IS NOT NULL
        UNION ALL SELECT name, proacl, NULL FROM functions) o,
       aclexplode(o.acl) a JOIN pg_roles r ON r.oid = a.grantee
 WHERE r.rolname = :role
"""
)
