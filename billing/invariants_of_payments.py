"""What must hold between payments, the orders they paid and the credit they brought.

Run by `billing/verify.py`, with the set checks of `billing/invariants.py`.
"""

SET_CHECKS: list[tuple[str, str]] = [
    (
        # Both directions: credit without its payment, and a payment without its credit.
        "a payment and the credit that it brought tell the same",
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
]
"""What must hold, and a query for (account, detail) of everything that breaks it."""
