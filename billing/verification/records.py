"""The invariants between a ledger row and the other rows that record the same event.

The hash chain covers only the ledger's rows. These checks tie lots, debts, holds and leads to them,
as far as something is recorded twice.
"""

from billing.ledger import KIND_RULES

_LOT_SOURCES = ", ".join(
    f"('{kind}', '{rule.lot_source}')" for kind, rule in KIND_RULES.items() if rule.sign >= 0
)
_REFUNDS = ", ".join(
    f"('{kind}', '{rule.reversed_by}')" for kind, rule in KIND_RULES.items() if rule.reversed_by
)
_REFUND_KINDS = ", ".join(
    f"'{rule.reversed_by}'" for rule in KIND_RULES.values() if rule.reversed_by
)


def _iso(utc: str) -> str:
    """Return SQL for `datetime.isoformat()` of a UTC timestamp; the empty text for NULL."""
    return f"""CASE WHEN {utc} IS NULL THEN '' ELSE concat(
            to_char({utc}, 'YYYY-MM-DD"T"HH24:MI:SS'),
            CASE WHEN {utc} <> date_trunc('second', {utc}) THEN to_char({utc}, '.US') END,
            '+00:00') END"""


_LOTS: list[tuple[str, str]] = [
    (
        "a lot is of the account, the time and the source of the credit that made it",
        f"""
SELECT coalesce(a.ref, 'all') AS account, format('lot %s: %s, of transaction %s, %s', l.id,
       l.source, l.transaction_id, coalesce(t.kind, 'which is gone')) AS detail
  FROM credit_lots l LEFT JOIN accounts a ON a.id = l.account_id
  LEFT JOIN credit_transactions t ON t.id = l.transaction_id AND t.account_id = l.account_id
  LEFT JOIN (VALUES {_LOT_SOURCES}) AS k(kind, source) ON k.kind = t.kind
 WHERE t.id IS NULL OR l.source IS DISTINCT FROM k.source OR l.created_at <> t.created_at
    OR (t.reverses_id IS NOT NULL AND l.expires_at IS NULL)""",
    ),
    (
        # No ledger row holds the expiry of its credit, but the hash of the request covers it:
        # `billing/ledger/posting.py::Posting.request_hash`, computed here for the rows that made a
        # lot. No hash covers the expiry of a lot that a refund made.
        "credit expires when its posting said",
        f"""
SELECT q.ref AS account, format('lot %s: until %s, and transaction %s says otherwise',
       q.lot_id, coalesce(q.expires_at::text, 'for ever'), q.id) AS detail
  FROM (SELECT a.ref, l.id AS lot_id, l.expires_at, t.*, l.expires_at AT TIME ZONE 'UTC' AS utc
          FROM credit_lots l JOIN accounts a ON a.id = l.account_id
          JOIN credit_transactions t ON t.id = l.transaction_id
         WHERE t.reverses_id IS NULL) q
 WHERE q.request_hash <> sha256(convert_to(concat_ws(chr(10), q.ref, q.amount, q.kind,
       coalesce(q.lead_id, ''), coalesce(q.payment_id, ''), coalesce(q.dispute_id, ''),
       {_iso("q.utc")},
       q.description), 'UTF8'))""",
    ),
    (
        "a debt is of its charge's account and time, and not larger than the charge",
        """
SELECT coalesce(a.ref, 'all') AS account, format('debt of transaction %s: %s of %s', d.charge_id,
       d.amount, coalesce(t.amount::text, 'nothing')) AS detail
  FROM credit_debts d LEFT JOIN accounts a ON a.id = d.account_id
  LEFT JOIN credit_transactions t ON t.id = d.charge_id AND t.account_id = d.account_id
 WHERE t.id IS NULL OR d.amount > -t.amount OR d.created_at <> t.created_at""",
    ),
]

_REVERSALS: list[tuple[str, str]] = [
    (
        "a refund names a charge of its account and of the kind that it reverses",
        f"""
SELECT a.ref AS account, format('transaction %s, %s, reverses %s', t.id, t.kind,
       coalesce(t.reverses_id::text, 'nothing')) AS detail
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
  LEFT JOIN credit_transactions c ON c.id = t.reverses_id AND c.account_id = t.account_id
  LEFT JOIN (VALUES {_REFUNDS}) AS k(charge, refund) ON k.charge = c.kind AND k.refund = t.kind
 WHERE (t.reverses_id IS NOT NULL OR t.kind IN ({_REFUND_KINDS}))
   AND k.charge IS NULL""",
    ),
    (
        "a refund moves credit of expired lots to a lot of its own, and no other credit does",
        """
SELECT a.ref AS account, format('transaction %s: movements %s, lots %s', t.id,
       coalesce(m.total, 0), coalesce(l.total, 0)) AS detail
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
  LEFT JOIN (SELECT v.charge_id, sum(v.amount) AS total
               FROM lot_movements v JOIN credit_transactions c ON c.id = v.charge_id
              WHERE c.amount > 0 GROUP BY 1) m ON m.charge_id = t.id
  LEFT JOIN (SELECT transaction_id, sum(amount) AS total FROM credit_lots GROUP BY 1) l
    ON l.transaction_id = t.id AND t.reverses_id IS NOT NULL
 WHERE t.amount > 0 AND coalesce(m.total, 0) <> -coalesce(l.total, 0)""",
    ),
]

_HOLDS: list[tuple[str, str]] = [
    (
        "a hold agrees with its events",
        """
SELECT coalesce(h.ref, 'all') AS account, format('hold %s: %s, its events: %s',
       coalesce(h.id, e.hold_id), coalesce(h.steps, 'it is gone'), coalesce(e.steps, 'none'))
         AS detail
  FROM (SELECT o.id, a.ref, format('placed %s', o.amount) || CASE o.state
               WHEN 'captured' THEN format(', captured %s', o.captured)
                 || CASE WHEN o.captured < o.amount
                         THEN format(', released %s', o.amount - o.captured) ELSE '' END
               WHEN 'open' THEN '' ELSE format(', %s %s', o.state, o.amount) END AS steps,
               (o.captured > 0) = (o.state = 'captured') AS fits
          FROM holds o LEFT JOIN accounts a ON a.id = o.account_id) h
  FULL JOIN (SELECT hold_id, string_agg(format('%s %s', event, amount), ', ' ORDER BY id) AS steps
               FROM hold_events GROUP BY 1) e ON e.hold_id = h.id
 WHERE h.steps IS DISTINCT FROM e.steps OR NOT h.fits""",
    ),
    (
        "a captured hold names the charge that it became",
        """
SELECT coalesce(a.ref, 'all') AS account, format('hold %s: captured %s, transaction %s: %s', h.id,
       h.captured, h.transaction_id, coalesce(t.amount::text, 'it is gone')) AS detail
  FROM holds h LEFT JOIN accounts a ON a.id = h.account_id
  LEFT JOIN credit_transactions t ON t.id = h.transaction_id AND t.account_id = h.account_id
 WHERE h.state = 'captured'
   AND (t.id IS NULL OR t.amount <> -h.captured OR t.kind <> h.kind
        OR t.idempotency_key <> format('hold:%s:capture', h.idempotency_key))""",
    ),
    (
        # The audit log records account and expiry when the hold is placed.
        "an open hold is of the account and the time for which it was placed",
        f"""
SELECT coalesce(a.ref, 'all') AS account, format('hold %s: until %s, and placed on %s until %s',
       h.id, coalesce(h.expires_at::text, 'it ends'), p.after ->> 'account',
       coalesce(p.after ->> 'expires_at', 'it ends')) AS detail
  FROM (SELECT *, expires_at AT TIME ZONE 'UTC' AS utc FROM holds WHERE state = 'open') h
  LEFT JOIN accounts a ON a.id = h.account_id
  JOIN billing_audit_log p ON p.subject = format('hold:%s', h.id) AND p.action = 'hold.placed'
 WHERE a.ref IS DISTINCT FROM p.after ->> 'account'
    OR coalesce(p.after ->> 'expires_at', '') <> {_iso("h.utc")}""",
    ),
    (
        # In whatever state: a row that somebody posted under its key does not undo a hold.
        "the hold of every capture is on record",
        """
SELECT a.ref AS account, format('transaction %s: %s', t.id, t.idempotency_key) AS detail
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
  LEFT JOIN holds h ON t.idempotency_key = format('hold:%s:capture', h.idempotency_key)
 WHERE t.idempotency_key LIKE 'hold:%_capture' AND h.id IS NULL""",
    ),
]

_LEADS: list[tuple[str, str]] = [
    (
        # One pass for both directions: these are the two longest tables. A charge whose key is not
        # a lead's has no lead.
        "a charged lead and its transaction agree",
        """
SELECT coalesce(a.ref, 'all') AS account, format('lead %s is %s: %s credits, package of %s,'
       ' transaction %s', coalesce(l.lead_id, t.lead_id), coalesce(l.state, 'not on record'),
       l.credits, l.package_price_paise, coalesce(t.id::text, 'is gone')) AS detail
  FROM (SELECT id, account_id, lead_id, amount, description, idempotency_key
          FROM credit_transactions WHERE kind = 'lead_charge') t
  FULL JOIN (SELECT lead_id, account_id, credits, state, package_price_paise, transaction_id
               FROM lead_charges
              WHERE transaction_id IS NOT NULL OR state IN ('charged', 'refunded')) l
    ON l.transaction_id = t.id
  LEFT JOIN accounts a ON a.id = coalesce(l.account_id, t.account_id)
 WHERE CASE WHEN l.lead_id IS NULL
            THEN t.idempotency_key = format('lead:%s:charge', t.lead_id)
            ELSE t.id IS NULL OR t.account_id <> l.account_id OR t.amount <> -l.credits
              OR t.lead_id IS DISTINCT FROM l.lead_id OR l.state NOT IN ('charged', 'refunded')
              OR t.description
                 <> format('Lead %s, package of %s paise', l.lead_id, l.package_price_paise)
       END""",
    ),
    (
        "a dispute and the credit that it gave back agree",
        """
SELECT coalesce(a.ref, 'all') AS account, format('dispute %s is %s: %s credits, ledger: %s',
       coalesce(d.id::text, t.idempotency_key), coalesce(d.state, 'not on record'),
       coalesce(d.credits_refunded, 0), coalesce(t.amount, 0)) AS detail
  FROM (SELECT *, format('dispute:%s:refund', id) AS key FROM lead_disputes) d
  FULL JOIN (SELECT * FROM credit_transactions
              WHERE idempotency_key ~ '^dispute:[0-9]+[:]refund$') t ON t.idempotency_key = d.key
  LEFT JOIN accounts a ON a.id = coalesce(d.account_id, t.account_id)
 WHERE d.id IS NULL OR d.credits_refunded <> coalesce(t.amount, 0)
    OR (t.id IS NOT NULL AND (t.account_id, t.lead_id, t.kind)
        IS DISTINCT FROM (d.account_id, d.lead_id, 'lead_refund'))""",
    ),
]

SET_CHECKS = [*_LOTS, *_REVERSALS, *_HOLDS, *_LEADS]
"""Each invariant, and the query for (account, detail) of everything that breaks it."""
