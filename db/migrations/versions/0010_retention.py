"""Bodies and answers whose time is up: marks, how far the walk has come, and two functions.

The columns are added without a default, so that no table is rewritten; no index is built, so that
nothing waits: the walk goes along keys that are indexed already. An older process does not write
the columns, and answers a repeat of a folded request with `{}`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Times are parameters: SQL never asks for the time. Whoever may call a function gets no right on
# a table: the function works as its owner, and looks names up in no schema that others write to.
BLANK = """
CREATE FUNCTION {schema}.retention_blank(
    blank_at timestamptz, finished_before timestamptz, dead_before timestamptz, most integer,
    OUT blanked bigint, OUT more boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    reached bigint;
    stop bigint;
BEGIN
    -- The second of two callers waits here, and goes on behind the first.
    SELECT p.reached_id INTO reached FROM retention_progress p
     WHERE p.name = 'inbound_events' FOR UPDATE;
    -- Up to the last of the next rows that is old. Ids and times rise together, but for the clocks
    -- of several hosts: what is younger than a row behind it is left over, like the unfinished.
    SELECT max(w.id) FILTER (WHERE w.received_at < finished_before) INTO stop
      FROM (SELECT e.id, e.received_at FROM inbound_events e
             WHERE e.id > reached ORDER BY e.id LIMIT most) w;
    IF stop IS NOT NULL THEN
        UPDATE inbound_events e
           SET body = '', blanked_at = blank_at, last_error = split_part(e.last_error, ':', 1)
         WHERE e.id > reached AND e.id <= stop AND e.blanked_at IS NULL
           AND (e.state IN ('done', 'ignored') AND e.received_at < finished_before
                OR e.state = 'dead' AND e.received_at < dead_before);
        GET DIAGNOSTICS blanked = ROW_COUNT;
        INSERT INTO retention_leftovers (event_id)
        SELECT e.id FROM inbound_events e
         WHERE e.id > reached AND e.id <= stop AND e.blanked_at IS NULL
        ON CONFLICT DO NOTHING;
        UPDATE retention_progress p SET reached_id = stop WHERE p.name = 'inbound_events';
        more := true;
        RETURN;
    END IF;
    WITH ripe AS (
        SELECT e.id FROM retention_leftovers l JOIN inbound_events e ON e.id = l.event_id
         WHERE e.blanked_at IS NULL
           AND (e.state IN ('done', 'ignored') AND e.received_at < finished_before
                OR e.state = 'dead' AND e.received_at < dead_before)
         ORDER BY e.id LIMIT most FOR UPDATE OF e
    )
    UPDATE inbound_events e
       SET body = '', blanked_at = blank_at, last_error = split_part(e.last_error, ':', 1)
      FROM ripe WHERE e.id = ripe.id;
    GET DIAGNOSTICS blanked = ROW_COUNT;
    more := blanked = most;
    DELETE FROM retention_leftovers l USING inbound_events e
     WHERE e.id = l.event_id AND e.blanked_at IS NOT NULL;
END $$
"""
FOLD = """
CREATE FUNCTION {schema}.retention_fold(
    fold_at timestamptz, asked_before timestamptz, most integer,
    OUT folded bigint, OUT more boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    reached timestamptz;
    stop timestamptz;
    leased timestamptz;
BEGIN
    SELECT coalesce(p.reached_at, '-infinity') INTO reached FROM retention_progress p
     WHERE p.name = 'api_requests' FOR UPDATE;
    SELECT max(w.created_at) INTO stop
      FROM (SELECT r.created_at FROM api_requests r
             WHERE r.created_at > reached AND r.created_at < asked_before
             ORDER BY r.created_at LIMIT most) w;
    -- A request that somebody works on at this moment is not passed.
    SELECT min(r.created_at) INTO leased FROM api_requests r
     WHERE r.created_at > reached AND r.created_at <= stop AND r.claimed_until > fold_at;
    IF leased IS NOT NULL THEN
        SELECT max(r.created_at) INTO stop FROM api_requests r
         WHERE r.created_at > reached AND r.created_at < leased;
    END IF;
    UPDATE api_requests r
       SET answer = CASE WHEN r.answer IS NOT NULL THEN '{{}}' END, folded_at = fold_at
     WHERE r.created_at > reached AND r.created_at <= stop AND r.folded_at IS NULL;
    GET DIAGNOSTICS folded = ROW_COUNT;
    more := stop IS NOT NULL;
    UPDATE retention_progress p SET reached_at = coalesce(stop, p.reached_at)
     WHERE p.name = 'api_requests';
END $$
"""
ARGUMENTS = {
    "retention_blank": "timestamptz, timestamptz, timestamptz, integer",
    "retention_fold": "timestamptz, timestamptz, integer",
}


def upgrade() -> None:
    for table, column in (("inbound_events", "blanked_at"), ("api_requests", "folded_at")):
        op.add_column(table, sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    progress = op.create_table(
        "retention_progress",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reached_id", sa.BigInteger(), nullable=True),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_retention_progress")),
    )
    op.create_table(
        "retention_leftovers",
        sa.Column("event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_retention_leftovers")),
    )
    op.bulk_insert(
        progress,
        [{"name": "inbound_events", "reached_id": 0}, {"name": "api_requests", "reached_id": None}],
    )
    schema = op.get_bind().dialect.identifier_preparer.quote_identifier(
        str(op.get_bind().scalar(sa.text("SELECT current_schema()")))
    )
    for function in (BLANK, FOLD):
        op.execute(function.format(schema=schema))
    for name, arguments in ARGUMENTS.items():
        op.execute(f"REVOKE ALL ON FUNCTION {schema}.{name}({arguments}) FROM PUBLIC")


def downgrade() -> None:
    for name, arguments in ARGUMENTS.items():
        op.execute(f"DROP FUNCTION {name}({arguments})")
    op.drop_table("retention_leftovers")
    op.drop_table("retention_progress")
    op.drop_column("api_requests", "folded_at")
    op.drop_column("inbound_events", "blanked_at")
