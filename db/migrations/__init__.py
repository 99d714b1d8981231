"""Alembic migrations. Each must leave the schema usable by the version before it."""
