"""The invariants of payments: orders, the credit of a payment, and its clawbacks agree."""

# For each clawback and kind of credit: all that it took, in one step or several, and did not
# return. An operator's reversal or write-off leaves it taken; nothing is left of what it returned.
_CLAWBACKS = """
WITH recorded AS (
  SELECT c.subject, c.position, c.takes, k.kind, k.credits, p.account_id, p.gateway_payment_id
    FROM (SELECT 'refund:' || id AS subject, payment_id, position, takes, credits, bonus_credits
            FROM billing_refunds
           UNION ALL
          SELECT 'chargeback:' || id, payment_id, position, takes, credits, bonus_credits
            FROM billing_chargebacks) c
    JOIN billing_payments p ON p.id = c.payment_id
   CROSS JOIN LATERAL (VALUES ('clawback', c.credits), ('bonus_clawback', c.bonus_credits))
      AS k(kind, credits)),
steps AS (
  SELECT substring(t.idempotency_key FROM '^[a-z]+:[0-9]+') AS subject, t.kind, t.account_id,
         t.payment_id, -t.amount AS credits,
         split_part(t.idempotency_key, ':', 3)::numeric AS step,
         (SELECT coalesce(sum(r.amount), 0) FROM credit_transactions r WHERE r.reverses_id = t.id)
         - (SELECT coalesce(sum(m.amount), 0) FROM lot_movements m
              JOIN credit_lots l ON l.id = m.lot_id
              JOIN credit_transactions w ON w.id = l.transaction_id AND w.kind = 'write_off'
             WHERE m.charge_id = t.id) AS back,
         EXISTS (SELECT 1 FROM credit_transactions r
                  WHERE r.idempotency_key = format('%s:return', t.idempotency_key)) AS is_returned
    FROM credit_transactions t
   WHERE t.idempotency_key ~ '^(refund|chargeback):[0-9]+:[0-9]+:(bonus_)?clawback$'),
taken AS (
  SELECT subject, kind, min(account_id) AS account_id, min(payment_id) AS payment_id,
         count(DISTINCT (account_id, payment_id)) AS owners, max(step) AS last_step,
         coalesce(sum(credits) FILTER (WHERE NOT is_returned), 0) AS kept,
         coalesce(sum(credits - back) FILTER (WHERE NOT is_returned), 0) AS left,
         coalesce(sum(abs(credits - back)) FILTER (WHERE is_returned), 0) AS still
    FROM steps GROUP BY 1, 2)
SELECT coalesce(a.ref, 'all') AS account, format('%s, %s: %s %s credits, and the ledger took %s, of'
       ' which %s are left', coalesce(c.subject, t.subject), coalesce(c.kind, t.kind),
       coalesce(c.position, 'not on record,'), coalesce(c.credits, 0), coalesce(t.kept, 0),
       coalesce(t.left, 0)) AS detail
  FROM recorded c FULL JOIN taken t ON t.subject = c.subject AND t.kind = c.kind
  LEFT JOIN accounts a ON a.id = coalesce(c.account_id, t.account_id)
 WHERE c.subject IS NULL OR coalesce(t.still, 0) <> 0 OR t.last_step > c.takes
    OR CASE c.position WHEN 'taken' THEN c.credits <> coalesce(t.kept, 0)
                       WHEN 'none' THEN c.credits <> 0 OR coalesce(t.left, 0) <> 0
                       ELSE coalesce(t.left, 0) <> 0 END
    OR (t.subject IS NOT NULL AND (t.owners <> 1 OR (t.account_id, t.payment_id)
                                   IS DISTINCT FROM (c.account_id, c.gateway_payment_id)))"""

SET_CHECKS: list[tuple[str, str]] = [
    (
        # Both directions: credit without its payment, and a payment without its credit.
        "a payment and its credit agree",
        """
SELECT coalesce(a.ref, 'all') AS account, format('payment %s: %s credits and %s bonus, ledger:'
       ' %s and %s', coalesce(p.gateway_payment_id, t.payment_id), p.credits, p.bonus_credits,
       coalesce(t.paid, 0), coalesce(t.bonus, 0)) AS detail
  FROM (SELECT payment_id, account_id, split_part(idempotency_key, ':', 1) AS gateway,
               max(id) FILTER (WHERE kind = 'top_up') AS id,
               sum(amount) FILTER (WHERE kind = 'top_up') AS paid,
               sum(amount) FILTER (WHERE kind = 'bonus') AS bonus,
               bool_and(idempotency_key = format('%s:%s:%s',
                 split_part(idempotency_key, ':', 1), payment_id, kind)) AS keyed
          FROM credit_transactions
         WHERE idempotency_key LIKE 'razorpay:%' OR idempotency_key LIKE 'stripe:%'
         GROUP BY 1, 2, 3) t
  FULL JOIN (SELECT * FROM billing_payments WHERE credited_at IS NOT NULL) p
    ON p.gateway_payment_id = t.payment_id AND p.gateway = t.gateway
   AND p.account_id = t.account_id
  LEFT JOIN accounts a ON a.id = coalesce(p.account_id, t.account_id)
 WHERE p.id IS NULL OR p.credits <> coalesce(t.paid, 0)
    OR p.bonus_credits <> coalesce(t.bonus, 0) OR NOT coalesce(t.keyed, true)
    OR p.transaction_id IS DISTINCT FROM t.id""",
    ),
    (
        "a paid order names the payment that paid it, of its account, money and credit",
        """
SELECT coalesce(a.ref, 'all') AS account, format('order %s: %s paise, payment %s: %s', o.receipt,
       o.amount_paise, coalesce(p.gateway_payment_id, 'is gone'), p.amount_paise) AS detail
  FROM billing_orders o LEFT JOIN accounts a ON a.id = o.account_id
  LEFT JOIN billing_payments p ON p.id = o.payment_id AND p.order_id = o.id
 WHERE o.state = 'paid'
   AND (p.id IS NULL OR p.credited_at IS NULL OR p.gateway <> o.gateway
        OR (p.account_id, p.amount_paise, p.currency, p.credits, p.bonus_credits)
           IS DISTINCT FROM
           (o.account_id, o.amount_paise, o.currency, o.credits, o.bonus_credits))""",
    ),
    ("a refund or chargeback and the credit that it took back agree", _CLAWBACKS),
]
"""Each invariant, and the query for (account, detail) of everything that breaks it."""
