"""The application's role can do what the product does, and cannot touch what was recorded.

That it can do what the product does is what all other tests show: they run as this role.
"""

from collections.abc import Iterator

import psycopg2
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

import settings
from db import migrate, roles
from db.errors import RightMissing
from db.grants import UnknownRole
from db.roles import Role, role_of
from db.session import transaction
from tests.billing.given import open_account, post_all, rows, take
from tests.conftest import owner

LEDGER = sorted(roles.APPEND_ONLY)


@pytest.fixture(autouse=True)
def books(database: str) -> None:
    open_account(credits_=100)
    post_all(take(10, key="t"))


def refusal(statement: str) -> str:
    """Why the application's role may not do this."""
    with pytest.raises(RightMissing) as caught, transaction() as session:
        session.execute(text(statement))
    return str(caught.value)


def rights() -> set[tuple[object, ...]]:
    """Every right of the application's role on a table, view or sequence."""
    return set(
        rows(
            "SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a"
            " WHERE a.grantee = CAST(current_user AS regrole)"
            " UNION ALL SELECT c.relname || '.' || t.attname, a.privilege_type"
            "  FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a"
            " WHERE a.grantee = CAST(current_user AS regrole)"
        )
    )


def upgrade(**other: str) -> migrate.MigrationReport:
    named = {Role(role): url for role, url in other.items()}
    return migrate.upgrade({**roles.addresses(settings.get()), **named})


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", LEDGER)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET created_at = created_at",
        "DELETE FROM {}",
        "TRUNCATE {} CASCADE",
        "DROP TABLE {} CASCADE",
        "ALTER TABLE {} DISABLE TRIGGER ALL",
        "ALTER TABLE {} DISABLE TRIGGER append_only",
        "ALTER TABLE {} ADD COLUMN more text",
        "ALTER TABLE {} OWNER TO CURRENT_USER",
        "DROP TRIGGER append_only ON {}",
        "CREATE TRIGGER mine BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        "CREATE RULE mine AS ON INSERT TO {} DO INSTEAD NOTHING",
    ],
)
def test_the_ledger_cannot_be_changed_removed_or_laid_open(table: str, statement: str) -> None:
    if table == "lot_movements":
        statement = statement.replace("created_at", "amount")
    assert refusal(statement.format(table)).startswith(
        (f"permission denied for table {table}", f"must be owner of table {table}",
         f"must be owner of relation {table}")
    )  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "SET LOCAL session_replication_role = replica",
        "CREATE TABLE mine (id bigint)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
        "CREATE SCHEMA mine",
        "DROP VIEW ledger_entries",
        "CREATE ROLE mine",
        "GRANT ALL ON credit_transactions TO PUBLIC",
        "UPDATE transaction_kinds SET house_account = 'mine'",
        "INSERT INTO transaction_kinds VALUES ('gift', 'mine')",
        "UPDATE alembic_version SET version_num = '0001'",
        "UPDATE accounts SET ref = 'clinic:other'",
        "UPDATE credit_lots SET amount = 7",
        "UPDATE holds SET amount = 7",
        "UPDATE inbound_events SET body = ''",
        "DELETE FROM accounts",
        "SELECT setval('credit_transactions_id_seq', 1)",
        "COPY accounts TO PROGRAM 'cat'",
    ],
)
def test_nothing_else_can_be_bent_either(statement: str) -> None:
    if statement.startswith("GRANT"):
        # PostgreSQL answers with a warning if one has no right to give
        with transaction() as session:
            session.execute(text(statement))
        assert not rows(
            "SELECT 1 FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = 0"
            " AND relname = 'credit_transactions'"
        )
        return
    assert "permission denied" in refusal(statement) or "must be owner" in refusal(statement)


def test_no_right_on_any_table_is_more_than_that() -> None:
    given = rights()
    assert {right for _, right in given} == {"SELECT", "INSERT", "UPDATE", "USAGE"}
    for table in LEDGER:
        mine = {(name, right) for name, right in given if str(name).split(".")[0] == table}
        assert mine == {(table, "SELECT"), (table, "INSERT")}
    assert not rows("SELECT 1 FROM pg_class WHERE relowner = CAST(current_user AS regrole)")


# --- how it comes by its rights -----------------------------------------------------------------


def test_migrating_again_changes_nothing_and_says_so() -> None:
    before = rights()
    report = upgrade()
    assert rights() == before
    # Of no role: a column whose name wants quoting, such as "position", is no other one.
    assert [(done.added, done.taken) for done in report.rights] == [((), ())] * 3


def test_rights_that_somebody_added_or_took_are_put_right() -> None:
    before = rights()
    role = role_of(settings.get().database_url)
    with owner() as connection:
        connection.execute(text(f'GRANT ALL ON credit_transactions, accounts TO "{role}"'))
        connection.execute(text(f'GRANT DELETE ON lot_movements TO "{role}"'))
        connection.execute(text(f'GRANT UPDATE (amount) ON lot_movements TO "{role}"'))
        connection.execute(text(f'REVOKE ALL ON inbound_events FROM "{role}"'))
        connection.execute(text("GRANT CREATE ON SCHEMA public TO PUBLIC"))
    upgrade()
    assert rights() == before
    assert "permission denied" in refusal("CREATE TABLE mine (id bigint)")


def test_a_table_of_a_later_migration_can_be_used_and_not_emptied() -> None:
    with owner() as connection:
        connection.execute(
            text('CREATE TABLE "Later table" (id bigint GENERATED ALWAYS AS IDENTITY, a text)')
        )
        connection.execute(text("CREATE TABLE later_log (a text)"))
        connection.execute(
            text(
                "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON later_log"
                " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
        )
    assert "permission denied" in refusal('SELECT * FROM "Later table"')
    upgrade()
    with transaction() as session:
        session.execute(text("INSERT INTO \"Later table\" (a) VALUES ('x')"))
        session.execute(text("UPDATE \"Later table\" SET a = 'y'"))
        session.execute(text("INSERT INTO later_log VALUES ('x')"))
    assert rows('SELECT a FROM "Later table"') == [("y",)]
    assert "permission denied" in refusal('DELETE FROM "Later table"')
    assert "permission denied" in refusal("UPDATE later_log SET a = 'y'")


@pytest.mark.parametrize("table", LEDGER)
def test_a_table_that_lost_its_trigger_is_not_opened_by_the_next_migration(table: str) -> None:
    with owner() as connection:
        connection.execute(text(f"DROP TRIGGER append_only ON {table}"))
    upgrade()
    assert {right for name, right in rights() if str(name).split(".")[0] == table} == {
        "SELECT", "INSERT",
    }  # fmt: skip


def test_the_tables_that_are_named_append_only_are_those_with_the_trigger() -> None:
    guarded = rows(
        "SELECT CAST(CAST(tgrelid AS regclass) AS text) FROM pg_trigger"
        " WHERE tgname = 'append_only'"
    )
    assert {table for (table,) in guarded} == roles.APPEND_ONLY


@pytest.fixture
def odd_role() -> Iterator[str]:
    """A login role whose name wants quoting everywhere."""
    name = 'Billing "app" %s; DROP ROLE x; --'
    quoted = '"' + name.replace('"', '""') + '"'
    with owner() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {quoted} LOGIN".replace("%", "%%"))
    yield name
    with owner() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {quoted}".replace("%", "%%"))
        connection.exec_driver_sql(f"DROP ROLE {quoted}".replace("%", "%%"))


def test_a_name_that_wants_quoting_is_quoted(odd_role: str) -> None:
    url = make_url(settings.get().database_url).set(username=odd_role)
    upgrade(workers=url.render_as_string(hide_password=False))
    given = "SELECT has_table_privilege(:role, 'credit_transactions', :right)"
    allowed = [
        right
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
        if rows(given, role=odd_role, right=right) == [(True,)]
    ]
    assert allowed == ["SELECT", "INSERT"]


def test_a_role_that_does_not_exist_is_told_and_nothing_is_migrated() -> None:
    url = make_url(settings.get().database_url).set(username="nobody_knows")
    with pytest.raises(UnknownRole, match=r"'nobody_knows'.*run-on-your-own-servers.md"):
        upgrade(workers=url.render_as_string(hide_password=False))


def test_an_owner_that_is_the_application_keeps_its_rights() -> None:
    url = settings.get().database_owner_url
    migrate.upgrade(dict.fromkeys(Role, url))
    with owner() as connection:
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text("DELETE FROM credit_transactions"))
        assert isinstance(caught.value.orig, psycopg2.errors.RestrictViolation)
        connection.rollback()


@pytest.mark.parametrize(
    ("url", "role"),
    [
        ("postgresql://ops@db/billing", "ops"),
        ("postgresql://a%40b:x@db/billing", "a@b"),
        ("postgresql:///billing?user=ops&host=/tmp", "ops"),
        ("postgresql:///billing", None),
    ],
)
def test_the_role_is_the_one_the_address_names(url: str, role: str | None) -> None:
    assert role_of(url) == role


def test_the_fixed_columns_are_columns_of_tables_that_are_there() -> None:
    there = set(rows("SELECT table_name, column_name FROM information_schema.columns"))
    named = [*roles.FIXED_COLUMNS.items(), *roles._DOORS_COLUMNS.items()]
    fixed = {(t, c) for t, columns in named for c in columns}
    assert fixed <= there
    assert {(table, "") for table in roles.READ_ONLY} <= {(table, "") for table, _ in there}
