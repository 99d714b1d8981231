"""A request under an Idempotency-Key belongs to an API key, not to a name.

A key of API_KEYS and a created key may have the same name. Requests of created keys now stand under
`#` and the id of the key; those of API_KEYS stay under their name, which is unique there.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# What an unfinished request has begun (a hold, a refund, an order) has its old name, and a repeat
# must find it. An answered one is never done again.
#
# A process of the older version goes on: it writes rows without the new columns. If it repeats a
# request from before, it does not find the answer and does it anew, under the same name as the
# first time: the effect is found.
_MOVE = """
UPDATE api_requests r
   SET caller = '#' || k.id,
       reach = coalesce('account:' || k.account_id, 'product:' || k.product),
       operation_key = CASE
         WHEN r.status IS NOT NULL THEN NULL
         WHEN length('api:' || r.caller || ':' || r.idempotency_key) <= 200
           THEN 'api:' || r.caller || ':' || r.idempotency_key
         ELSE 'api:' || r.caller || '\\:sha256-'
           || encode(sha256(convert_to(r.idempotency_key, 'UTF8')), 'hex')
       END
  FROM api_keys k
 WHERE k.name = r.caller AND r.created_at >= k.created_at
"""
# From now on a key that looks like a hash is hashed; what it has begun keeps its name too.
_KEEP_HASH_LIKE = """
UPDATE api_requests SET operation_key = 'api:' || caller || ':' || idempotency_key
 WHERE status IS NULL AND operation_key IS NULL AND idempotency_key LIKE 'sha256-%'
   AND length('api:' || caller || ':' || idempotency_key) <= 200
"""
_MOVE_BACK = """
UPDATE api_requests r SET caller = k.name FROM api_keys k
 WHERE r.caller = '#' || k.id
   AND NOT EXISTS (SELECT FROM api_requests o
                    WHERE o.caller = k.name AND o.idempotency_key = r.idempotency_key)
"""


def upgrade() -> None:
    op.add_column("api_requests", sa.Column("reach", sa.Text(), nullable=True))
    op.add_column("api_requests", sa.Column("operation_key", sa.Text(), nullable=True))
    op.execute(_MOVE)
    op.execute(_KEEP_HASH_LIKE)


def downgrade() -> None:
    op.execute(_MOVE_BACK)
    op.drop_column("api_requests", "operation_key")
    op.drop_column("api_requests", "reach")
