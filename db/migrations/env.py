"""How Alembic reaches the database: one connection, one transaction, one migrator at a time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

import settings
from db import roles
from db.models import Base

# Any fixed number: the key of the advisory lock under which one process migrates at a time.
MIGRATION_LOCK = 7_100_402

url = context.config.attributes.get("database_url") or settings.get().database_owner_url
engine = create_engine(url, poolclass=pool.NullPool)

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.run_migrations()
        if role := context.config.attributes.get("application_role"):
            roles.grant(connection, role)
