"""The invariants of the balances: rows, lots, debts, movements and holds agree."""

SET_CHECKS: list[tuple[str, str]] = [
    (
        "balance = sum of amounts, version = number of rows",
        """
SELECT a.ref AS account, format('balance %s and sum %s, version %s and %s rows, last version %s',
       a.balance, coalesce(t.total, 0), a.version, coalesce(t.rows, 0), t.last) AS detail
  FROM accounts a LEFT JOIN (SELECT account_id, sum(amount) AS total, count(*) AS rows,
                                    max(version) AS last
                               FROM credit_transactions GROUP BY account_id) t
    ON t.account_id = a.id
 WHERE a.balance <> coalesce(t.total, 0) OR a.version <> coalesce(t.rows, 0)
    OR a.version <> coalesce(t.last, 0)""",
    ),
    (
        "the account's head hash is its last row's",
        """
SELECT a.ref AS account, format('version %s: they differ', a.version) AS detail
  FROM accounts a LEFT JOIN credit_transactions t
    ON t.account_id = a.id AND t.version = a.version
 WHERE a.head_hash <> coalesce(t.row_hash, sha256(convert_to(a.ref, 'UTF8')))""",
    ),
    (
        "what remains in lots less open debts = balance, and never both",
        """
SELECT a.ref AS account, format('balance %s, lots %s, debts %s', a.balance,
       coalesce(l.total, 0), coalesce(d.total, 0)) AS detail
  FROM accounts a
  LEFT JOIN (SELECT account_id, sum(remaining) AS total FROM credit_lots GROUP BY 1) l
    ON l.account_id = a.id
  LEFT JOIN (SELECT account_id, sum(remaining) AS total FROM credit_debts GROUP BY 1) d
    ON d.account_id = a.id
 WHERE greatest(a.balance, 0) <> coalesce(l.total, 0)
    OR greatest(-a.balance, 0) <> coalesce(d.total, 0)""",
    ),
    (
        "what left a lot = its movements",
        """
SELECT a.ref AS account, format('lot %s: %s of %s remain, movements %s', l.id, l.remaining,
       l.amount, coalesce(m.total, 0)) AS detail
  FROM credit_lots l JOIN accounts a ON a.id = l.account_id
  LEFT JOIN (SELECT lot_id, sum(amount) AS total FROM lot_movements GROUP BY 1) m
    ON m.lot_id = l.id
 WHERE l.remaining - l.amount <> coalesce(m.total, 0)""",
    ),
    (
        "what a charge took = its movements and its debt, at first and after reversals",
        """
SELECT a.ref AS account, format('transaction %s: amount %s, own movements %s and debt %s,'
       ' reversed %s, all movements %s and open debt %s', t.id, t.amount, coalesce(m.own, 0),
       coalesce(d.amount, 0), coalesce(r.total, 0), coalesce(m.total, 0),
       coalesce(d.remaining, 0)) AS detail
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
  LEFT JOIN (SELECT reverses_id, sum(amount) AS total FROM credit_transactions
              WHERE reverses_id IS NOT NULL GROUP BY 1) r ON r.reverses_id = t.id
  LEFT JOIN (SELECT charge_id, sum(amount) AS total,
                    sum(amount) FILTER (WHERE transaction_id = charge_id) AS own
               FROM lot_movements GROUP BY 1) m ON m.charge_id = t.id
  LEFT JOIN credit_debts d ON d.charge_id = t.id
 WHERE t.amount < 0
   AND (t.amount + coalesce(r.total, 0) <> coalesce(m.total, 0) - coalesce(d.remaining, 0)
        OR t.amount + coalesce(r.total, 0) > 0
        OR t.amount <> coalesce(m.own, 0) - coalesce(d.amount, 0))""",
    ),
    (
        "a movement names a charge and a transaction of the lot's account, each in its role",
        """
SELECT a.ref AS account, format('movement of lot %s, charge %s, transaction %s', m.lot_id,
       m.charge_id, m.transaction_id) AS detail
  FROM lot_movements m
  JOIN credit_lots l ON l.id = m.lot_id JOIN accounts a ON a.id = l.account_id
  LEFT JOIN credit_transactions c ON c.id = m.charge_id AND c.account_id = l.account_id
  LEFT JOIN credit_transactions t ON t.id = m.transaction_id AND t.account_id = l.account_id
 WHERE c.id IS NULL OR t.id IS NULL
    -- A reversal of the charge gives back; the charge, or credit that paid its debt, takes
    OR (m.amount > 0 AND t.reverses_id IS DISTINCT FROM m.charge_id)
    OR (m.amount < 0 AND m.transaction_id <> m.charge_id AND t.amount < 0)""",
    ),
    (
        "every credit is in a lot of its own, or in the lots of the charge that it reverses",
        """
SELECT a.ref AS account, format('transaction %s: amount %s, lots %s', t.id, t.amount,
       coalesce(l.total, 0)) AS detail
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
  LEFT JOIN (SELECT transaction_id, sum(amount) AS total FROM credit_lots GROUP BY 1) l
    ON l.transaction_id = t.id
 WHERE greatest(t.amount, 0) <> coalesce(l.total, 0)
   AND (t.reverses_id IS NULL OR coalesce(l.total, 0) > t.amount)""",
    ),
    (
        "held = the open holds",
        """
SELECT a.ref AS account, format('held %s, open holds %s', a.held, coalesce(h.total, 0)) AS detail
  FROM accounts a LEFT JOIN (SELECT account_id, sum(amount) AS total FROM holds
                              WHERE state = 'open' GROUP BY 1) h ON h.account_id = a.id
 WHERE a.held <> coalesce(h.total, 0)""",
    ),
    (
        "both sides of the ledger sum to zero, the customers' side to the balances",
        """
SELECT 'all' AS account, format('customers %s, house %s, balances %s', s.customers, s.house,
       s.balances) AS detail
  FROM (SELECT coalesce(sum(amount) FILTER (WHERE side = 'customer'), 0) AS customers,
               coalesce(sum(amount) FILTER (WHERE side = 'house' AND account IS NOT NULL), 0)
                 AS house,
               (SELECT coalesce(sum(balance), 0) FROM accounts) AS balances
          FROM ledger_entries) s
 WHERE s.customers + s.house <> 0 OR s.customers <> s.balances""",
    ),
]
"""Each invariant, and the query for (account, detail) of everything that breaks it."""
