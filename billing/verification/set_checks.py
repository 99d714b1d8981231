"""The invariants that SQL checks, one query each; run by `billing/verification/proof.py`."""

from collections.abc import Iterator

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.verification import balances, payments, plans, records, schema
from billing.verification.findings import Breach

SET_CHECKS: list[tuple[str, str]] = [
    *balances.SET_CHECKS,
    *records.SET_CHECKS,
    *payments.SET_CHECKS,
    *plans.SET_CHECKS,
    *schema.SET_CHECKS,
]
"""Each invariant, and the query for (account, detail) of everything that breaks it."""


def check(session: Session, number: int) -> Iterator[Breach]:
    """Yield what breaks the set check with this index."""
    invariant, query = SET_CHECKS[number]
    for row in session.execute(text(query), execution_options={"yield_per": 1_000}):
        yield Breach(invariant, row.account, row.detail)
