"""`billing history`: the ledger rows of an account."""

from dataclasses import replace

import click
from sqlalchemy.orm import Session

from billing import reports
from billing.ledger import Kind
from billing.reports.history import Filter
from cli.options import ListView, timed_list_options
from cli.output import Columns, Record, plain, print_list
from db.models import CreditTransaction
from db.pages import Page, Wanted, parse_position

_COLUMNS = Columns(
    "version amount balance_after kind event_at",
    more="idempotency_key description actor id created_at lead_id payment_id dispute_id reverses"
    " request_id",
)


@click.command()
@click.argument("ref")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only this kind.")
@click.option("--lead", "lead_id", help="Only this lead.")
@click.option("--payment", "payment_id", help="Only this payment.")
@click.option(
    "--before",
    type=click.IntRange(1, 2**63 - 1),
    help="The same as --after: rows before this version.",
)
@timed_list_options
def history(
    ref: str,
    kind: str | None,
    lead_id: str | None,
    payment_id: str | None,
    before: int | None,
    *,
    view: ListView,
) -> None:
    """Show the ledger rows of account REF, newest first.

    \b
    Examples:
      billing history clinic:42 --kind lead_charge --since 2026-11-01
      billing history clinic:42 --wide
    """
    if before is not None:
        view = replace(view, after=str(before))

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return _read(
            session, ref, Filter(kind, wanted.since, wanted.until, lead_id, payment_id), wanted
        )

    empty = f"No ledger rows of {plain(ref)} match."
    print_list(read, view, columns=_COLUMNS, account=ref, empty=empty)


def _read(session: Session, ref: str, matching: Filter, wanted: Wanted) -> Page[Record]:
    before = parse_position(wanted.after)
    rows = reports.history.list_transactions(
        session, ref, wanted=matching, before_version=before, limit=wanted.limit
    )
    keys = reports.history.reversed_keys(session, rows)
    records = [_transaction(row, keys) for row in rows]
    if len(rows) < wanted.limit or rows[-1].version == 1:
        return Page(records)
    last = rows[-1].version
    if not wanted.counted:
        return Page(records, 0, str(last))
    more = reports.history.count_older(session, ref, wanted=matching, before_version=last)
    return Page(records, more, str(last) if more else None)


def _transaction(row: CreditTransaction, reversed_keys: dict[int, str]) -> Record:
    return {
        "id": row.id,
        "version": row.version,
        "amount": row.amount,
        "balance_after": row.balance_after,
        "kind": row.kind,
        "idempotency_key": row.idempotency_key,
        "description": row.description,
        "event_at": row.event_at,
        "created_at": row.created_at,
        "actor": row.actor,
        "lead_id": row.lead_id,
        "payment_id": row.payment_id,
        "dispute_id": row.dispute_id,
        "reverses": reversed_keys.get(row.reverses_id) if row.reverses_id is not None else None,
        "request_id": row.request_id,
    }
