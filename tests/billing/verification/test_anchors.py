"""An anchor that was kept elsewhere finds a history that was rewritten with all its hashes."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, text

from billing import verification
from billing.ledger.hash_chain import first_hash, row_hash
from billing.verification import CannotAnchor, InvalidAnchor, anchor_file
from billing.verification import anchors as anchor
from db.session import snapshot
from tests.billing.given import give, open_account, post_all, rows, take
from tests.tampering import tamper, unguarded

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FORMS = [anchor_file.as_text, anchor_file.as_json]
Form = Callable[..., Iterator[str]]


@pytest.fixture(autouse=True)
def books(database: str) -> None:
    """Three accounts, of which one has nothing on it yet."""
    for ref in ("clinic:1", "clinic:2"):
        open_account(ref, credits_=100)
        post_all(*[take(10, key=f"{ref}:{i}", account=ref) for i in range(3)])
    open_account("clinic:3")


def taken(form: Form = anchor_file.as_text) -> str:
    with snapshot() as session:
        return "".join(form(anchor.take(session), taken_at=NOON))


def against(kept: str | bytes) -> list[tuple[str, str]]:
    """What a verification of everything finds against an anchor."""
    file = io.BytesIO(kept if isinstance(kept, bytes) else kept.encode())
    with snapshot() as session:
        report = verification.verify(session, against=anchor_file.Reader(file))
    return [(b.account, b.detail) for b in report.breaches]


def as_attacker(*statements: str) -> None:
    """Do what whoever owns the tables can do, and make the books look right again."""
    with unguarded() as connection:
        for statement in statements:
            connection.execute(text(statement))
        _recompute(connection)
    with snapshot() as session:
        assert verification.verify(session).breaches == [], "the attacker was clumsy"


def _recompute(connection: Connection) -> None:
    """Number every row anew, with its balance and hash, and the account after it."""
    for account_id, ref in connection.execute(text("SELECT id, ref FROM accounts")).all():
        head, balance, version = first_hash(ref), 0, 0
        rows = connection.execute(
            text("SELECT * FROM credit_transactions WHERE account_id = :id ORDER BY version"),
            {"id": account_id},
        ).all()
        for row in rows:
            version += 1
            balance += row.amount
            head = row_hash(
                head, version=version, amount=row.amount, balance_after=balance, kind=row.kind,
                idempotency_key=row.idempotency_key, request_hash=bytes(row.request_hash),
                lead_id=row.lead_id, payment_id=row.payment_id, dispute_id=row.dispute_id,
                actor=row.actor, description=row.description, event_at=row.event_at,
                created_at=row.created_at,
            )  # fmt: skip
            connection.execute(
                text(
                    "UPDATE credit_transactions SET version = :version, balance_after = :balance,"
                    " row_hash = :head WHERE id = :id"
                ),
                {"version": version, "balance": balance, "head": head, "id": row.id},
            )
        connection.execute(
            text(
                "UPDATE accounts SET version = :version, balance = :balance, head_hash = :head"
                " WHERE id = :id"
            ),
            {"version": version, "balance": balance, "head": head, "id": account_id},
        )
        connection.execute(
            text("UPDATE credit_lots SET remaining = :balance WHERE account_id = :id"),
            {"balance": balance, "id": account_id},
        )


# --- taking one ---------------------------------------------------------------------------------


def test_an_anchor_says_of_each_account_how_many_rows_it_has_and_the_newest_ones_hash() -> None:
    lines = taken().splitlines()
    heads = {
        str(ref): head for ref, head in rows("SELECT ref, encode(head_hash, 'hex') FROM accounts")
    }
    assert lines[0] == "# billing ledger anchor 1, taken at 2026-11-21T12:00:00+00:00"
    assert lines[1:-1] == [
        f"clinic:1 4 {heads['clinic:1']}",
        f"clinic:2 4 {heads['clinic:2']}",
        f"clinic:3 0 {hashlib.sha256(b'clinic:3').hexdigest()}",
    ]
    assert lines[-1].startswith("# 3 accounts, 8 transactions, sha256 ")


def test_the_digest_is_the_sha256_of_the_lines_without_a_sign_in_either_form() -> None:
    plain = taken()
    accounts = "".join(f"{line}\n" for line in plain.splitlines() if not line.startswith("#"))
    digest = hashlib.sha256(accounts.encode()).hexdigest()
    assert plain.endswith(f"sha256 {digest}\n")
    assert json.loads(taken(anchor_file.as_json))["total"] == {
        "accounts": 3, "transactions": 8, "sha256": digest,
    }  # fmt: skip


def test_accounts_are_in_the_order_of_their_bytes_whatever_the_database_collates() -> None:
    for ref in ("clinic:b", "clinic:B", "clinic:10", "clinic:1.5", "a:1"):
        open_account(ref)
    refs = [line.split()[0] for line in taken().splitlines()[1:-1]]
    assert refs == sorted(refs, key=str.encode)
    assert len(refs) == 8


def test_an_empty_ledger_has_an_anchor_too() -> None:
    tamper("TRUNCATE accounts, credit_lots CASCADE")
    for form in FORMS:
        assert against(taken(form)) == []


@pytest.mark.parametrize(
    "change",
    ["head_hash = sha256('x')", "version = version + 1", "version = 0", "ref = 'clinic 1'"],
)
def test_no_anchor_is_taken_of_an_account_that_disagrees_with_its_rows(change: str) -> None:
    tamper(f"UPDATE accounts SET {change} WHERE ref = 'clinic:1'")
    with pytest.raises(CannotAnchor, match=r"clinic.1.*ledger verify"):
        taken()


# --- verifying against it -----------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_what_is_new_since_the_anchor_is_fine(form: Form) -> None:
    kept = taken(form)
    post_all(give(5, key="new", account="clinic:1"), give(5, key="first", account="clinic:3"))
    open_account("clinic:4", credits_=7)
    assert against(kept) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "rewrite",
    [
        "UPDATE credit_transactions SET description = 'x' WHERE idempotency_key = 'clinic:2:0'",
        "UPDATE credit_transactions SET event_at = event_at - interval '1 day'"
        " WHERE idempotency_key = 'clinic:2:2'",
        "UPDATE credit_transactions SET actor = 'x' WHERE idempotency_key = 'opening:clinic:2'",
    ],
)
def test_a_rewritten_history_with_all_its_hashes_is_found_by_the_anchor_alone(
    form: Form, rewrite: str
) -> None:
    kept = taken(form)
    post_all(take(1, key="since", account="clinic:2"))
    as_attacker(rewrite)
    [(account, detail)] = against(kept)
    assert account == "clinic:2"
    assert detail.startswith("anchored at version 4: the row has another hash")


def test_a_rewritten_amount_with_its_movements_is_found_by_the_anchor_alone() -> None:
    kept = taken()
    as_attacker(
        "UPDATE credit_transactions SET amount = -1 WHERE idempotency_key = 'clinic:2:1'",
        "UPDATE lot_movements SET amount = -1 WHERE charge_id ="
        " (SELECT id FROM credit_transactions WHERE idempotency_key = 'clinic:2:1')",
    )
    assert [account for account, _ in against(kept)] == ["clinic:2"]


def test_a_history_whose_newest_rows_were_taken_off_is_found_by_the_anchor_alone() -> None:
    kept = taken()
    as_attacker(
        "DELETE FROM lot_movements WHERE charge_id ="
        " (SELECT id FROM credit_transactions WHERE idempotency_key = 'clinic:2:2')",
        "DELETE FROM credit_transactions WHERE idempotency_key = 'clinic:2:2'",
    )
    assert against(kept) == [
        ("clinic:2", "anchored at version 4: the history is shorter: it ends at version 3")
    ]


@pytest.mark.parametrize("ref", ["clinic:2", "clinic:3"])
def test_an_account_that_was_removed_with_everything_is_found_by_the_anchor_alone(ref: str) -> None:
    kept = taken()
    of_it = f"account_id = (SELECT id FROM accounts WHERE ref = '{ref}')"
    as_attacker(
        f"DELETE FROM lot_movements WHERE lot_id IN (SELECT id FROM credit_lots WHERE {of_it})",
        f"DELETE FROM credit_lots WHERE {of_it}",
        f"DELETE FROM credit_transactions WHERE {of_it}",
        f"DELETE FROM accounts WHERE ref = '{ref}'",
    )
    [(account, detail)] = against(kept)
    assert account == ref
    assert detail.endswith("the account is missing")


def test_more_accounts_than_are_looked_up_at_once_are_all_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(anchor, "_BATCH", 2)
    kept = taken()
    assert against(kept) == []
    for ref in ("clinic:1", "clinic:2", "clinic:3"):
        kept = kept.replace(f"{ref} ", f"{ref}0 ")
    assert [account for account, _ in against(kept)] == ["all", "clinic:10", "clinic:20",
                                                         "clinic:30"]  # fmt: skip


# --- the file itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_an_anchor_that_was_changed_or_cut_short_is_a_breach(form: Form) -> None:
    kept = taken(form)
    lines = kept.splitlines(keepends=True)
    for bent in (
        kept.replace("clinic:3", "clinic:1"),
        "".join(lines[:1] + lines[2:]),
        "".join([lines[0], lines[2], lines[1], *lines[3:]]),
        "".join(lines[:-1]),
        "".join(lines[:2]),
        lines[0],
        kept + lines[1],
        re.sub("[0-9a-f]{8}(?=[^0-9a-f]*$)", "0" * 8, kept),
    ):
        assert "it was changed or cut short" in " ".join(detail for _, detail in against(bent))


@pytest.mark.parametrize(
    ("kept", "problem"),
    [
        (b"", "its first line is not"),
        (b"\n", "its first line is not"),
        (b"# some other file\nclinic:1 1 00\n", "its first line is not"),
        (
            b"# billing ledger anchor 2, taken at 2026-11-21T12:00:00+00:00\n",
            "its first line is not",
        ),
        (b"\xff\xfe\x00", "line 1 is not valid"),
        (b'{"entries": []}', "line 1 is not valid"),
        (b'{"format": "other", "entries": [\n', "its first line is not"),
        (b'{"format": "billing ledger anchor 1", "entries": [\n', "its first line is not"),
        (b"{" * 100_000, "line 1 is not valid"),
        (b"{HEAD}clinic:1 4\n", "line 2 is not valid"),
        (b"{HEAD}clinic:1 -4 " + b"0" * 64 + b"\n", "line 2 is not valid"),
        (b"{HEAD}clinic:1 04 " + b"0" * 64 + b"\n", "line 2 is not valid"),
        (b"{HEAD}clinic:1 9999999999999999999 " + b"0" * 64 + b"\n", "line 2 is not valid"),
        (b"{HEAD}clinic:1 4 " + b"F" * 64 + b"\n", "line 2 is not valid"),
        (b"{HEAD}clinic:1 4 \xff\n", "line 2 is not valid"),
        (b"{HEAD}" + b"x" * 1_000_000, "line 2 is not valid"),
        (b'{JSON}{"account": "clinic:1"}\n', "line 2 is not valid"),
        (b"{JSON}[1]\n", "line 2 is not valid"),
        (b"{JSON}nonsense\n", "line 2 is not valid"),
    ],
)
def test_a_file_that_is_no_anchor_is_refused(kept: bytes, problem: str) -> None:
    head = b"# billing ledger anchor 1, taken at 2026-11-21T12:00:00+00:00\n"
    start = b'{"format": "billing ledger anchor 1", "taken_at": "x", "entries": [\n'
    with pytest.raises(InvalidAnchor, match=problem):
        against(kept.replace(b"{HEAD}", head).replace(b"{JSON}", start))


def test_line_ends_of_another_system_do_no_harm() -> None:
    assert against(taken().replace("\n", "\r\n")) == []
