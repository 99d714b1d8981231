"""`billing history`: the ledger rows of an account."""

from collections.abc import Iterator
from datetime import datetime

import click

from billing import reports
from billing.ledger import Kind
from billing.reports.history import Filter
from cli.options import json_option, limit_option, page
from cli.output import Record, print_json_list, print_records
from cli.times import INSTANT
from db.models import CreditTransaction
from db.session import transaction

ROWS_AT_A_TIME = 1_000
"""Rows of one transaction: memory does not grow with the length of the history."""

_COLUMNS = (
    "id",
    "version",
    "amount",
    "balance_after",
    "kind",
    "idempotency_key",
    "description",
    "event_at",
    "actor",
)
"""What a table shows: as much as fits side by side on a screen."""


@click.command()
@click.argument("ref")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only this kind.")
@click.option("--since", type=INSTANT, help="Only what happened at or after this time.")
@click.option("--until", type=INSTANT, help="Only what happened before this time.")
@click.option("--lead", "lead_id", help="Only this lead.")
@click.option("--payment", "payment_id", help="Only this payment.")
@click.option(
    "--before", type=click.IntRange(1, 2**63 - 1), help="The next page: rows before this version."
)
@limit_option
@json_option
def history(
    ref: str,
    kind: str | None,
    since: datetime | None,
    until: datetime | None,
    lead_id: str | None,
    payment_id: str | None,
    before: int | None,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    """Show the ledger rows of account REF, newest first.

    \b
    Example:
      billing history clinic:42 --kind lead_charge --since 2026-11-01T00:00+05:30
    """
    if since is not None and until is not None and until < since:
        raise click.UsageError("--until must not be before --since")
    wanted = Filter(kind, since, until, lead_id, payment_id)
    count = page(limit, as_json=as_json)
    if as_json:
        print_json_list(_newest(ref, wanted, before, count))
        return
    # One row more than is shown: its presence says that there are older ones.
    records = list(_newest(ref, wanted, before, count + 1))
    shown = [{name: record[name] for name in _COLUMNS} for record in records[:count]]
    print_records(shown, as_json=False, empty=f"No ledger rows of {ref} match.")
    if len(records) > count:
        click.echo(f"Older rows: --before {shown[-1]['version']}", err=True)


def _newest(ref: str, wanted: Filter, before: int | None, count: int) -> Iterator[Record]:
    """Yield up to `count` rows, newest first, in pages of one transaction each.

    A slow reader holds no transaction open. Rows never change, so the pages fit together.
    """
    while count > 0:
        limit = min(count, ROWS_AT_A_TIME)
        with transaction() as session:
            rows = reports.history.list_transactions(
                session, ref, wanted=wanted, before_version=before, limit=limit
            )
            keys = reports.history.reversed_keys(session, rows)
        for row in rows:
            yield _transaction(row, keys)
        if len(rows) < limit or rows[-1].version == 1:
            return
        count -= len(rows)
        before = rows[-1].version


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
    }
