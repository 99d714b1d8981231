"""The row hash: known answers, so that no change of the code changes what old rows hash to."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from billing.ledger.hash_chain import first_hash, row_hash

NOON = datetime(2026, 11, 21, 12, 0, 0, 5, tzinfo=UTC)
ROW: dict[str, Any] = {
    "version": 2, "amount": -180, "balance_after": 820, "kind": "lead_charge",
    "idempotency_key": "lead:L-1:charge", "request_hash": hashlib.sha256(b"asked").digest(),
    "lead_id": "L-1", "payment_id": None, "dispute_id": None, "actor": "webhook:leads",
    "description": "Lead L-1", "event_at": NOON - timedelta(hours=1), "created_at": NOON,
}  # fmt: skip


def test_a_row_hashes_to_what_the_documented_form_gives() -> None:
    content = (
        "2\n-180\n820\nlead_charge\nlead:L-1:charge\nL-1\n\n\nwebhook:leads\nLead L-1\n"
        "2026-11-21T11:00:00.000005+00:00\n2026-11-21T12:00:00.000005+00:00"
    )
    previous = first_hash("clinic:42")
    expected = hashlib.sha256(previous + ROW["request_hash"] + content.encode()).digest()
    assert row_hash(previous, **ROW) == expected
    assert previous == hashlib.sha256(b"clinic:42").digest()


def test_a_reversal_adds_the_key_of_the_charge_and_other_rows_add_nothing() -> None:
    previous = first_hash("clinic:42")
    plain = row_hash(previous, **ROW)
    assert row_hash(previous, **ROW, reverses_key=None) == plain
    assert row_hash(previous, **ROW, reverses_key="lead:L-1:charge") != plain


def test_the_same_content_after_another_row_has_another_hash() -> None:
    assert row_hash(first_hash("a"), **ROW) != row_hash(first_hash("b"), **ROW)


def test_the_zone_in_which_an_instant_is_written_makes_no_difference() -> None:
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    moved = {name: ROW[name].astimezone(elsewhere) for name in ("event_at", "created_at")}
    assert row_hash(b"", **{**ROW, **moved}) == row_hash(b"", **ROW)
