"""What the database says, in the model's terms, for `test_machine.py`: read fast.

One autocommitting connection with prepared statements, so that a look at everything costs a few
milliseconds and can be taken after each step.
"""

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

import psycopg2
from sqlalchemy import text

from billing.ledger.hash_chain import first_hash, row_hash
from billing.verification.set_checks import SET_CHECKS
from db.connections import engine
from tests.billing.ledger.model import NEVER
from tests.conftest import owner

_QUERIES = {
    "accounts": "SELECT ref, balance, held, version, head_hash FROM accounts",
    "lots": """
SELECT a.ref, t.version, l.source, l.amount, l.remaining, l.expires_at
  FROM credit_lots l JOIN credit_transactions t ON t.id = l.transaction_id
  JOIN accounts a ON a.id = l.account_id""",
    "debts": """
SELECT a.ref, t.version, d.remaining
  FROM credit_debts d JOIN credit_transactions t ON t.id = d.charge_id
  JOIN accounts a ON a.id = d.account_id
 WHERE d.remaining > 0 ORDER BY d.charge_id""",
    "took": """
SELECT a.ref, c.version, m.version, -m.amount
  FROM (SELECT v.charge_id, t.version, sum(v.amount)::bigint AS amount
          FROM lot_movements v JOIN credit_lots l ON l.id = v.lot_id
          JOIN credit_transactions t ON t.id = l.transaction_id
         GROUP BY v.charge_id, v.lot_id, t.version HAVING sum(v.amount) <> 0) m
  JOIN credit_transactions c ON c.id = m.charge_id JOIN accounts a ON a.id = c.account_id""",
    "holds": """
SELECT h.idempotency_key, h.state, h.amount, h.captured, coalesce(h.finish_key, ''),
       (SELECT array_agg(e.event ORDER BY e.id) FROM hold_events e WHERE e.hold_id = h.id),
       (SELECT array_agg(e.amount ORDER BY e.id) FROM hold_events e WHERE e.hold_id = h.id)
  FROM holds h""",
    "alerts": """
SELECT payload ->> 'account', topic, (payload ->> 'balance')::bigint
  FROM outbox_events ORDER BY id""",
    "new_rows": """
SELECT a.ref, t.version, t.amount, t.balance_after, t.kind, t.idempotency_key, t.request_hash,
       t.lead_id, t.payment_id, t.dispute_id, t.actor, t.description, t.event_at, t.created_at,
       t.row_hash, r.idempotency_key, t.id
  FROM credit_transactions t JOIN accounts a ON a.id = t.account_id
  LEFT JOIN credit_transactions r ON r.id = t.reverses_id
 WHERE t.id > $1 ORDER BY t.account_id, t.version""",
    "breaches": " UNION ALL ".join(
        f"SELECT {n} AS number, q.account, q.detail FROM ({query}) q"
        for n, (_, query) in enumerate(SET_CHECKS)
    ),
}
_APPEND_ONLY = (
    "credit_transactions", "lot_movements", "hold_events", "lead_conflicts", "plan_terms",
)  # fmt: skip

State = dict[str, object]


class Books:
    """The books as of now. Rows of the ledger are followed once, when they are new."""

    def __init__(self) -> None:
        with owner() as connection:
            # Throw-away data: no need to wait for the disk after each step.
            name = connection.engine.url.database
            connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
        self._connection = engine().raw_connection()
        driver = self._connection.driver_connection
        assert isinstance(driver, psycopg2.extensions.connection)
        driver.autocommit = True
        self._cursor = driver.cursor()
        for name, query in _QUERIES.items():
            types = "(bigint)" if "$1" in query else ""
            self._cursor.execute(f"PREPARE {name}{types} AS {query}")
        self._heads: dict[str, tuple[int, int, bytes]] = {}
        self._last_id = 0

    def close(self) -> None:
        self._cursor.execute("DEALLOCATE ALL")
        self._connection.close()

    def burn(self) -> None:
        """Empty every table of the ledger, as only their owner can."""
        trigger = "TRIGGER append_only_truncate"
        with owner() as connection:
            for table in _APPEND_ONLY:
                connection.execute(text(f"ALTER TABLE {table} DISABLE {trigger}"))
            connection.execute(text("TRUNCATE accounts, credit_lots, outbox_events CASCADE"))
            for table in _APPEND_ONLY:
                connection.execute(text(f"ALTER TABLE {table} ENABLE ALWAYS {trigger}"))
        self._heads.clear()

    def state(self) -> State:
        """Balances, lots, debts, consumption and holds, by account."""
        took: dict[str, dict[int, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
        for ref, version, lot, amount in self._rows("took"):
            took[ref][version][lot] = amount
        lots, debts, alerts = defaultdict(set), defaultdict(list), defaultdict(list)
        for ref, topic, balance in self._rows("alerts"):
            alerts[ref].append((topic, balance))
        for ref, version, source, amount, left, expires_at in self._rows("lots"):
            lots[ref].add((version, source, amount, left, expires_at or NEVER))
        for ref, version, left in self._rows("debts"):
            debts[ref].append((version, left))
        return {
            "accounts": {ref: tuple(figures[:3]) for ref, *figures in self._rows("accounts")},
            "lots": dict(lots),
            "debts": dict(debts),
            "alerts": dict(alerts),
            "took": {ref: dict(rows) for ref, rows in took.items()},
            "holds": {
                key: (state, amount, captured, finish_key, list(zip(events, amounts, strict=True)))
                for key, state, amount, captured, finish_key, events, amounts in self._rows("holds")
            },
        }

    def new_rows(self) -> list[tuple[str, int, int, int, str, datetime]]:
        """The rows since the last look, after their chain was followed: no gap, sum, hash."""
        found = []
        for row in self._rows("new_rows", self._last_id):
            self._follow(*row[:-1])
            found.append((row[0], row[1], row[2], row[3], row[4], row[12]))
            self._last_id = max(self._last_id, row[-1])
        return found

    def breaches(self) -> list[tuple[str, str, str]]:
        """What breaks an invariant that SQL can check, and account heads that are not the last."""
        found = [
            (SET_CHECKS[number][0], account, detail)
            for number, account, detail in self._rows("breaches")
        ]
        for ref, balance, _, version, head in self._rows("accounts"):
            last = self._heads.get(ref, (0, 0, first_hash(ref)))
            if (version, balance, bytes(head)) != last:
                found.append(("the account is as of its last row", ref, f"{version}, {balance}"))
        return found

    def _follow(  # noqa: PLR0917 - a row of the query
        self, ref: str, version: int, amount: int, balance_after: int, kind: str, key: str,
        request_hash: memoryview, lead_id: str | None, payment_id: str | None,
        dispute_id: str | None, actor: str, description: str, event_at: datetime,
        created_at: datetime, found_hash: memoryview, reverses_key: str | None,
    ) -> None:  # fmt: skip
        last_version, balance, head = self._heads.get(ref, (0, 0, first_hash(ref)))
        assert version == last_version + 1, "versions have a gap"
        assert balance_after == balance + amount, "balance_after is not the running sum"
        expected = row_hash(
            head, version=version, amount=amount, balance_after=balance_after, kind=kind,
            idempotency_key=key, request_hash=bytes(request_hash), lead_id=lead_id,
            payment_id=payment_id, dispute_id=dispute_id, actor=actor, description=description,
            event_at=event_at, created_at=created_at, reverses_key=reverses_key,
        )  # fmt: skip
        assert bytes(found_hash) == expected, "the hash does not cover the row"
        self._heads[ref] = version, balance_after, expected

    def _rows(self, name: str, *parameters: int) -> list[tuple[Any, ...]]:
        given = f"({', '.join(map(str, parameters))})" if parameters else ""
        self._cursor.execute(f"EXECUTE {name}{given}")
        return self._cursor.fetchall()
