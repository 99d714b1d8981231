"""Notices on their way out: positions, endpoints, deliveries.

The new columns of the outbox have no default: PostgreSQL reads no row for them. What was written
before is given positions like all else; an endpoint is sent only what happened since it was added.
A running older version goes on: it leaves the new columns empty, which is how a row is found that
has no position yet.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("position", sa.BigInteger()),
    ("sequence", sa.BigInteger()),
    ("product", sa.Text()),
    ("body", sa.LargeBinary()),
)
_INDEXES = {
    "ix_outbox_events_unplaced": (["id"], "position IS NULL AND superseded_at IS NULL"),
    "uq_outbox_events_position": (["position"], "position IS NOT NULL"),
    "ix_outbox_events_product": (
        ["product", "position"],
        "position IS NOT NULL AND topic <> 'lead.charged'",
    ),
    "ix_outbox_events_account": (
        ["account_id", "position"],
        "position IS NOT NULL AND topic <> 'lead.charged'",
    ),
}


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("outbox_events", sa.Column(name, kind, nullable=True))
    for name, (columns, where) in _INDEXES.items():
        op.create_index(
            name,
            "outbox_events",
            columns,
            unique=name.startswith("uq_"),
            postgresql_where=sa.text(where),
        )
    _positions()
    _endpoints()
    _deliveries()


def downgrade() -> None:
    for table in (
        "notice_attempts", "notice_deliveries", "notice_lanes", "notice_endpoint_secrets",
        "notice_endpoints", "notice_sequences", "notice_positions",
    ):  # fmt: skip
        op.drop_table(table)
    for name in _INDEXES:
        op.drop_index(name, "outbox_events")
    for name, _ in _COLUMNS:
        op.drop_column("outbox_events", name)


def _positions() -> None:
    op.create_table(
        "notice_positions",
        sa.Column("singleton", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        _number("last", default="0"),
        sa.CheckConstraint("singleton", name=op.f("ck_notice_positions_singleton")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_notice_positions")),
        postgresql_with={"fillfactor": 10},
    )
    op.execute("INSERT INTO notice_positions DEFAULT VALUES")
    op.create_table(
        "notice_sequences",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        _number("last"),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_notice_sequences")),
        postgresql_with={"fillfactor": 50},
    )


def _endpoints() -> None:
    op.create_table(
        "notice_endpoints",
        _identity(),
        sa.Column("product", sa.Text(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        _text("url"),
        _text("description"),
        sa.Column("topics", ARRAY(sa.Text()), nullable=False),
        sa.Column("ordered", sa.Boolean(), nullable=False),
        _text("state"),
        sa.Column("state_reason", sa.Text(), nullable=True),
        _time("first_failure_at"),
        _number("consecutive_failures", default="0"),
        _time("last_success_at"),
        _number("pause_seconds", default="0"),
        _time("paused_until"),
        _time("lease_until"),
        _time("created_at", nullable=False),
        _text("created_by"),
        sa.CheckConstraint(
            "state IN ('on', 'failing', 'off', 'removed')", name=op.f("ck_notice_endpoints_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_endpoints")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "notice_endpoint_secrets",
        _identity(),
        _number("endpoint_id"),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        _time("created_at", nullable=False),
        _time("expires_at"),
        _of_endpoint("notice_endpoint_secrets"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_endpoint_secrets")),
    )
    op.create_index(
        op.f("ix_notice_endpoint_secrets_endpoint_id"), "notice_endpoint_secrets", ["endpoint_id"]
    )
    op.create_table(
        "notice_lanes",
        _number("endpoint_id"),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        _time("leased_until"),
        sa.Column(
            "delivery_ids",
            ARRAY(sa.BigInteger()),
            server_default=sa.text("'{}'::bigint[]"),
            nullable=False,
        ),
        _of_endpoint("notice_lanes"),
        sa.PrimaryKeyConstraint("endpoint_id", "number", name=op.f("pk_notice_lanes")),
        postgresql_with={"fillfactor": 20},
    )


def _deliveries() -> None:
    op.create_table(
        "notice_deliveries",
        _identity(),
        _number("notice_id"),
        _number("endpoint_id"),
        _number("position"),
        sa.Column("line_account_id", sa.BigInteger(), nullable=True),
        _text("state"),
        _number("attempts", default="0"),
        _number("tries", default="0"),
        _time("next_attempt_at"),
        sa.Column("last_status", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        _time("created_at", nullable=False),
        _time("finished_at"),
        sa.CheckConstraint(
            "state IN ('pending', 'done', 'dead', 'skipped')",
            name=op.f("ck_notice_deliveries_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_deliveries")),
        sa.UniqueConstraint(
            "notice_id", "endpoint_id", name=op.f("uq_notice_deliveries_notice_id_endpoint_id")
        ),
    )
    for name, columns, where in (
        (
            "due",
            ["endpoint_id", "next_attempt_at", "position"],
            "state = 'pending' AND next_attempt_at IS NOT NULL",
        ),
        (
            "line",
            ["endpoint_id", "line_account_id", "position"],
            "state = 'pending' AND line_account_id IS NOT NULL",
        ),
        ("missed", ["endpoint_id", "position"], "state IN ('dead', 'skipped')"),
    ):
        op.create_index(
            f"ix_notice_deliveries_{name}",
            "notice_deliveries",
            columns,
            postgresql_where=sa.text(where),
        )
    op.create_table(
        "notice_attempts",
        sa.Column("delivery_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        _time("started_at", nullable=False),
        _number("duration_ms"),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("response_head", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_notice_attempts")),
    )


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def _number(name: str, *, default: str | None = None) -> sa.Column[int]:
    server_default = None if default is None else sa.text(default)
    return sa.Column(name, sa.BigInteger(), server_default=server_default, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _of_endpoint(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["endpoint_id"], ["notice_endpoints.id"], name=op.f(f"fk_{table}_endpoint_id")
    )
