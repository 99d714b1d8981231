"""Anchors: the state of every account's history at one time, small enough to keep elsewhere.

The owner of the tables can rewrite an account's history and recompute all its hashes, and the books
still verify. An anchor out of the owner's reach reveals it: the row at the anchored version must
still have the anchored hash, which covers every row before it. Used by `cli/ledger.py` and
`billing/verification/proof.py`; the format is in `billing/verification/anchor_file.py`.
"""

from collections.abc import Iterator
from itertools import islice

from sqlalchemy import text
from sqlalchemy.orm import Session

from billing.ledger.hash_chain import first_hash
from billing.verification.anchor_file import Entry, Reader
from billing.verification.errors import CannotAnchor
from billing.verification.findings import Breach
from db.bulk import int_array, text_array

_BATCH = 1_000

_HEADS = text("""
SELECT a.ref, a.version, a.head_hash, t.row_hash
  FROM accounts a LEFT JOIN credit_transactions t
    ON t.account_id = a.id AND t.version = a.version
 ORDER BY a.ref COLLATE "C"
""")


def take(session: Session) -> Iterator[Entry]:
    """Yield every account's entry; `session` must be a `db.session.snapshot()`.

    Raises `CannotAnchor` for an account that does not match its newest row.
    """
    rows = session.execute(_HEADS, execution_options={"yield_per": _BATCH})
    for ref, version, head_hash, row_hash in rows:
        newest = bytes(row_hash) if row_hash is not None else first_hash(ref)
        entry = Entry(ref, version, bytes(head_hash).hex())
        agrees = bytes(head_hash) == newest and (version == 0) == (row_hash is None)
        if not (agrees and entry.is_writable):
            raise CannotAnchor(ref)
        yield entry


_ANCHORED = text("""
SELECT n.ref, n.version, a.version AS known_version, t.row_hash
  FROM unnest(CAST(:refs AS text[]), CAST(:versions AS bigint[])) WITH ORDINALITY
       AS n(ref, version, position)
  LEFT JOIN accounts a ON a.ref = n.ref
  LEFT JOIN credit_transactions t ON t.account_id = a.id AND t.version = n.version
 ORDER BY n.position
""")


def compare(session: Session, reader: Reader) -> Iterator[Breach]:
    """Yield what the books no longer have of an anchor; newer rows and accounts are fine.

    Raises `InvalidAnchor` for a file that cannot be read. A readable file with a wrong digest is a
    breach.
    """
    entries = reader.entries()
    while batch := list(islice(entries, _BATCH)):
        parameters = {
            "refs": text_array(entry.account for entry in batch),
            "versions": int_array(entry.version for entry in batch),
        }
        for entry, row in zip(batch, session.execute(_ANCHORED, parameters), strict=True):
            problem = _problem(entry, row.known_version, row.row_hash)
            if problem:
                yield Breach(
                    "the books still match the anchor",
                    entry.account,
                    f"anchored at version {entry.version}: {problem}",
                )
    if not reader.is_whole:
        yield Breach(
            "the anchor is as it was written",
            "all",
            f"its last line does not match the {reader.total.accounts} accounts above it:"
            " it was changed or cut short",
        )


def _problem(entry: Entry, known_version: int | None, row_hash: bytes | None) -> str | None:
    if known_version is None:
        return "the account is missing"
    if entry.version == 0:
        actual = first_hash(entry.account)
    elif row_hash is None:
        return f"the history is shorter: it ends at version {known_version}"
    else:
        actual = bytes(row_hash)
    if actual.hex() != entry.head_hash:
        return "the row has another hash: this row or an earlier one was changed"
    return None
