"""The invariants of plans: their paid years and monthly grants agree."""

_MONTHS = """
WITH granted AS (
  SELECT account_id, count(*) AS months, min(right(idempotency_key, 7)) AS first,
         max(right(idempotency_key, 7)) AS last
    FROM credit_transactions WHERE idempotency_key LIKE 'grant:%' GROUP BY 1),
withheld AS (
  SELECT l.subject, count(DISTINCT l.after ->> 'month') AS months
    FROM billing_audit_log l
   WHERE l.action = 'grant.withheld'
     AND NOT EXISTS (SELECT 1 FROM credit_transactions t
                      WHERE t.idempotency_key = format('grant:%s:%s',
                            substring(l.subject FROM 9), l.after ->> 'month'))
   GROUP BY 1)
SELECT a.ref AS account, format('%s months granted from %s to %s, %s withheld, next is %s',
       coalesce(g.months, 0), coalesce(g.first, '-'), coalesce(g.last, '-'),
       coalesce(w.months, 0), to_char(p.next_grant_month, 'YYYY-MM')) AS detail
  FROM account_plans p JOIN accounts a ON a.id = p.account_id
  JOIN plan_terms b ON b.account_id = p.account_id AND b.number = 1
  LEFT JOIN granted g ON g.account_id = p.account_id
  LEFT JOIN withheld w ON w.subject = 'account:' || a.ref
 WHERE g.last >= to_char(p.next_grant_month, 'YYYY-MM')
    -- A plan without credit in its first month has no month to count from.
    OR (g.first = to_char(b.starts_on, 'YYYY-MM')
        AND g.months + coalesce(w.months, 0)
            <> 12 * (extract(year FROM p.next_grant_month) - extract(year FROM b.starts_on))
               + extract(month FROM p.next_grant_month) - extract(month FROM b.starts_on))"""

SET_CHECKS: list[tuple[str, str]] = [
    (
        "a plan is paid up to the end of its last year, and each year is one row",
        """
SELECT a.ref AS account, format('plan of %s + %s years; years on record: %s to number %s, the last'
       ' ends on %s', p.anchor_on, p.years, coalesce(t.rows, 0), coalesce(t.last, 0), t.ends_on)
         AS detail
  FROM account_plans p JOIN accounts a ON a.id = p.account_id
  LEFT JOIN (SELECT account_id, count(*) AS rows, max(number) AS last,
                    count(*) FILTER (WHERE kind = 'purchase' AND number = 1) AS purchases,
                    (array_agg(ends_on ORDER BY number DESC))[1] AS ends_on
               FROM plan_terms GROUP BY 1) t ON t.account_id = p.account_id
 WHERE t.rows IS DISTINCT FROM t.last OR t.purchases IS DISTINCT FROM 1
    OR t.ends_on IS DISTINCT FROM
       CAST(p.anchor_on + make_interval(years => CAST(p.years AS integer)) AS date)
UNION ALL
SELECT a.ref, format('%s years on record and no plan', count(*))
  FROM plan_terms t JOIN accounts a ON a.id = t.account_id
 WHERE NOT EXISTS (SELECT 1 FROM account_plans p WHERE p.account_id = t.account_id)
 GROUP BY 1""",
    ),
    (
        "each paid order for a plan has added its year",
        """
SELECT a.ref AS account, format('order %s of %s was paid and has added no year', o.receipt, o.plan)
         AS detail
  FROM billing_orders o JOIN accounts a ON a.id = o.account_id
 WHERE o.plan IS NOT NULL AND o.state = 'paid' AND o.plan_applied_at IS NULL""",
    ),
    (
        "each month of a plan before its next was granted or withheld, and no later one",
        _MONTHS,
    ),
    (
        "a plan that is not degraded has a next step, and its next month is near its beginning",
        """
SELECT a.ref AS account, format('%s; next step at %s; month of %s at %s', p.service_renewal_status,
       p.next_step_at, p.next_grant_month, p.next_grant_at) AS detail
  FROM account_plans p JOIN accounts a ON a.id = p.account_id
 WHERE (p.next_step_at IS NULL AND p.service_renewal_status <> 'degraded')
    -- No zone is further from UTC; a plan that was put off is tried again within the hour.
    OR p.next_grant_at < CAST(p.next_grant_month AS timestamp) AT TIME ZONE 'UTC'
                         - interval '2 days'
    OR p.next_grant_at > greatest(p.updated_at + interval '1 hour', interval '2 days'
                                  + CAST(p.next_grant_month AS timestamp) AT TIME ZONE 'UTC')""",
    ),
]
"""Each invariant, and the query for (account, detail) of everything that breaks it."""
