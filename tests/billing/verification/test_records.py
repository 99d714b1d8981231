"""`ledger verify` finds what direct SQL did to the lots, holds and leads of the ledger."""

from datetime import UTC, datetime, timedelta

import pytest

import clock
from billing import verification
from billing.credit import corrections, hold_expiry, holds
from billing.leads import LeadRequest, charge_leads
from billing.ledger import Kind, expiry
from db.session import snapshot, transaction
from tests.billing.given import (
    assert_ledger_is_clean,
    balance,
    give,
    open_account,
    post_all,
    take,
)
from tests.tampering import tamper

NOW = datetime(2026, 11, 20, 8, 30, 0, 250_000, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def books(database: str) -> None:
    """One account with everything that makes rows in other tables than the ledger's."""
    with clock.frozen(NOW):
        open_account("clinic:2")
        open_account("clinic:1", overdraft_limit=500)
        post_all(
            give(1_000, key="bought", account="clinic:1", kind=Kind.TOP_UP),
            give(50, key="grant", account="clinic:1", kind=Kind.GRANT, expires_at=NOW + HOUR),
        )
        post_all(take(50, key="of the grant", account="clinic:1"))
        _leads()
        _holds()
        # A charge that took from the grant comes back after it has expired
        clock.advance(2 * HOUR)
        with transaction() as session:
            hold_expiry.expire_due(session)
        with transaction() as session:
            expiry.expire_due(session)
        with transaction() as session:
            corrections.reverse(
                session, charge_key="of the grant", amount=None, reason="wrong", actor="ops",
                idempotency_key="back",
            )  # fmt: skip
        # Debt, half of which is paid
        post_all(take(balance("clinic:1") + 100, key="large", account="clinic:1"))
        post_all(give(50, key="pays", account="clinic:1", kind=Kind.TOP_UP))
    assert_ledger_is_clean()


def _leads() -> None:
    asked = [
        LeadRequest(lead_id=lead, account=account, package_price_paise=1_200_000)
        for lead, account in (("L-1", "clinic:1"), ("L-2", "clinic:1"), ("L-3", "clinic:2"))
    ]
    with transaction() as session:
        charge_leads(session, asked, actor="webhook:leads")


def _holds() -> None:
    for key, life in (("open", None), ("timed", 9 * HOUR)):
        with transaction() as session:
            holds.place(
                session, account="clinic:1", amount=1, idempotency_key=key, actor="api",
                expires_in=life,
            )  # fmt: skip
    for key, amount in (("part", 20), ("whole", 5), ("void", 7), ("late", 9)):
        with transaction() as session:
            hold = holds.place(
                session, account="clinic:1", amount=amount, idempotency_key=key, actor="api",
                expires_in=HOUR,
            ).id  # fmt: skip
        with transaction() as session:
            if key in {"part", "whole"}:
                holds.capture(
                    session, hold_id=hold, idempotency_key=f"c:{key}", actor="api",
                    amount=8 if key == "part" else None,
                )  # fmt: skip
            elif key == "void":
                holds.void(session, hold_id=hold, idempotency_key="v", actor="api")


def broken() -> set[str]:
    """The invariants of records that fail."""
    with snapshot() as session:
        return {breach.invariant for breach in verification.verify(session).breaches}


TRANSACTION = "(SELECT id FROM credit_transactions WHERE idempotency_key = '{}')"
LOT = "(SELECT id FROM credit_lots WHERE transaction_id = " + TRANSACTION + ")"
HOLD = "(SELECT id FROM holds WHERE idempotency_key = '{}')"
ON_2 = "(SELECT id FROM accounts WHERE ref = 'clinic:2')"


@pytest.mark.parametrize(
    ("statement", "invariant"),
    [
        # Holds
        (
            f"UPDATE holds SET captured = 9 WHERE id = {HOLD.format('part')}",
            "agrees with its events",
        ),
        (
            f"UPDATE holds SET amount = 21 WHERE id = {HOLD.format('part')}",
            "agrees with its events",
        ),
        (
            f"UPDATE holds SET amount = 6 WHERE id = {HOLD.format('whole')}",
            "agrees with its events",
        ),
        (
            f"UPDATE holds SET state = 'voided' WHERE id = {HOLD.format('late')}",
            "agrees with its events",
        ),
        (
            f"UPDATE holds SET state = 'expired' WHERE id = {HOLD.format('void')}",
            "agrees with its events",
        ),
        (
            "UPDATE holds SET state = 'open', finished_at = NULL"
            f" WHERE id = {HOLD.format('void')};"
            " UPDATE accounts SET held = held + 7 WHERE ref = 'clinic:1'",
            "agrees with its events",
        ),
        (
            f"UPDATE holds SET captured = 1 WHERE id = {HOLD.format('void')}",
            "agrees with its events",
        ),
        (
            f"UPDATE hold_events SET amount = 2 WHERE hold_id = {HOLD.format('open')}",
            "agrees with its events",
        ),
        (
            f"DELETE FROM hold_events WHERE event = 'released' AND hold_id = {HOLD.format('part')}",
            "agrees with its events",
        ),
        (
            f"DELETE FROM hold_events WHERE hold_id = {HOLD.format('open')}",
            "agrees with its events",
        ),
        (f"DELETE FROM holds WHERE id = {HOLD.format('late')}", "agrees with its events"),
        (f"UPDATE holds SET account_id = {ON_2} WHERE id = {HOLD.format('open')}", "open holds"),
        (
            f"UPDATE holds SET account_id = {ON_2} WHERE id = {HOLD.format('open')};"
            " UPDATE accounts SET held = held - 1 WHERE ref = 'clinic:1';"
            " UPDATE accounts SET held = held + 1 WHERE ref = 'clinic:2'",
            "for which it was placed",
        ),
        (
            "UPDATE holds SET expires_at = expires_at + interval '1 year'"
            f" WHERE id = {HOLD.format('timed')}",
            "for which it was placed",
        ),
        (
            f"UPDATE holds SET expires_at = NULL WHERE id = {HOLD.format('timed')}",
            "for which it was placed",
        ),
        (f"UPDATE holds SET account_id = {ON_2} WHERE id = {HOLD.format('part')}", "it became"),
        (f"UPDATE holds SET kind = 'lead_charge' WHERE id = {HOLD.format('part')}", "it became"),
        (f"UPDATE holds SET transaction_id = 999 WHERE id = {HOLD.format('part')}", "it became"),
        (
            f"UPDATE holds SET transaction_id = {TRANSACTION.format('hold:whole:capture')}"
            f" WHERE id = {HOLD.format('part')}",
            "it became",
        ),
        (
            f"DELETE FROM hold_events WHERE hold_id = {HOLD.format('part')};"
            f" DELETE FROM holds WHERE id = {HOLD.format('part')}",
            "the hold of every capture",
        ),
        # Lots
        (f"UPDATE credit_lots SET source = 'bonus' WHERE id = {LOT.format('bought')}", "a lot is"),
        (f"UPDATE credit_lots SET source = 'grant' WHERE id = {LOT.format('back')}", "a lot is"),
        (
            f"UPDATE credit_lots SET account_id = {ON_2} WHERE id = {LOT.format('bought')}",
            "a lot is",
        ),
        (
            "UPDATE credit_lots SET created_at = created_at - interval '1 day'"
            f" WHERE id = {LOT.format('pays')}",
            "a lot is",
        ),
        (f"UPDATE credit_lots SET expires_at = NULL WHERE id = {LOT.format('back')}", "a lot is"),
        (
            f"UPDATE credit_lots SET transaction_id = 999 WHERE id = {LOT.format('pays')}",
            "a lot is",
        ),
        (
            "UPDATE credit_lots SET expires_at = expires_at + interval '1 microsecond'"
            f" WHERE id = {LOT.format('grant')}",
            "credit expires",
        ),
        (
            f"UPDATE credit_lots SET expires_at = NULL WHERE id = {LOT.format('grant')}",
            "credit expires",
        ),
        (
            "UPDATE credit_lots SET expires_at = '2026-12-31 00:00+00'"
            f" WHERE id = {LOT.format('bought')}",
            "credit expires",
        ),
        (
            f"UPDATE credit_lots SET expires_at = 'infinity' WHERE id = {LOT.format('grant')}",
            "credit expires",
        ),
        # Debts
        (f"UPDATE credit_debts SET account_id = {ON_2}", "a debt is"),
        ("UPDATE credit_debts SET created_at = created_at - interval '1 day'", "a debt is"),
        ("UPDATE credit_debts SET amount = 99999", "a debt is"),
        ("UPDATE credit_debts SET amount = amount + 1", "at first and after"),
        # Reversals and movements
        (
            "UPDATE credit_transactions SET reverses_id = 999 WHERE idempotency_key = 'pays'",
            "a refund names",
        ),
        (
            "UPDATE credit_transactions SET reverses_id = NULL WHERE idempotency_key = 'back'",
            "a refund names",
        ),
        (
            f"UPDATE credit_transactions SET reverses_id = {TRANSACTION.format('bought')}"
            " WHERE idempotency_key = 'back'",
            "a refund names",
        ),
        (
            "UPDATE lot_movements SET amount = amount - 1"
            f" WHERE charge_id = {TRANSACTION.format('back')}",
            "a refund moves credit",
        ),
        (
            f"UPDATE lot_movements SET transaction_id = {TRANSACTION.format('pays')}"
            f" WHERE charge_id = {TRANSACTION.format('of the grant')} AND amount > 0",
            "each in its role",
        ),
        (
            f"UPDATE lot_movements SET transaction_id = {TRANSACTION.format('large')}"
            f" WHERE charge_id = {TRANSACTION.format('of the grant')} AND amount < 0",
            "each in its role",
        ),
        (
            f"UPDATE lot_movements SET transaction_id = {TRANSACTION.format('large')}"
            f" WHERE transaction_id = {TRANSACTION.format('pays')}",
            "at first and after",
        ),
        # Leads
        ("UPDATE lead_charges SET credits = 1 WHERE lead_id = 'L-1'", "a charged lead and"),
        (
            "UPDATE lead_charges SET state = 'refunded', credits = 1 WHERE lead_id = 'L-1'",
            "a charged lead and",
        ),
        (
            "UPDATE lead_charges SET package_price_paise = 7 WHERE lead_id = 'L-1'",
            "a charged lead and",
        ),
        (
            f"UPDATE lead_charges SET account_id = {ON_2} WHERE lead_id = 'L-1'",
            "a charged lead and",
        ),
        (
            "UPDATE lead_charges SET transaction_id ="
            " (SELECT transaction_id FROM lead_charges WHERE lead_id = 'L-2')"
            " WHERE lead_id = 'L-1'",
            "a charged lead and",
        ),
        ("DELETE FROM lead_charges WHERE lead_id = 'L-1'", "a charged lead and"),
        (
            "UPDATE lead_charges SET state = 'parked', transaction_id = NULL WHERE lead_id = 'L-1'",
            "a charged lead and",
        ),
    ],
)
def test_what_disagrees_with_the_ledger_is_found(statement: str, invariant: str) -> None:
    tamper(*statement.split("; "))
    assert [found for found in broken() if invariant in found]
