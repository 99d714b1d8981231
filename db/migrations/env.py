"""How Alembic reaches the database: one connection, one transaction, one migrator at a time."""

from typing import Any

from alembic import context
from sqlalchemy import text

import settings
from db import connections, grants, roles
from db.limits import LIMITS_OF_MIGRATIONS
from db.migrate import Migration, MigrationReport
from db.models import Base
from db.roles import Role

# Any fixed number: the key of the advisory lock under which one process migrates at a time.
MIGRATION_LOCK = 7_100_402

attributes = context.config.attributes
addresses = attributes.get("addresses") or roles.addresses(settings.get())
report: MigrationReport = attributes.get("report") or MigrationReport()
engine = connections.unpooled_engine(addresses[Role.OWNER], LIMITS_OF_MIGRATIONS)


def note(ctx: object, step: Any, heads: object, run_args: object) -> None:  # noqa: ARG001
    """Put a migration that was applied into the report."""
    if step.is_upgrade:
        report.applied.append(Migration(step.up_revision.revision, step.up_revision.doc))


with engine.connect() as connection:
    schema = connection.scalar(text("SELECT current_schema()"))
    connection.rollback()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # Not through the search path: another tenant's schema may stand behind this one.
        version_table_schema=schema,
        on_version_apply=note,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        report.before = context.get_context().get_current_revision()
        context.run_migrations()
        report.after = context.get_context().get_current_revision()
        report.database = str(connection.scalar(text("SELECT current_database()")))
        report.schema = str(schema)
        if len(addresses) > 1:
            report.rights = grants.grant(connection, addresses)
