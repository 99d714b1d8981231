"""`billing balance`, `history`, `statement` and `outstanding`: what the ledger says."""

import csv
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import click

from billing import accounts
from billing.calendar import end_of_local_day
from billing.ledger import Kind
from billing.reports import history as reading
from cli.accounts import find_or_fail
from cli.output import (
    Record,
    json_option,
    limit_option,
    page,
    print_json,
    print_json_list,
    print_record,
    print_records,
)
from cli.times import DAY, INSTANT
from db.models import CreditTransaction
from db.session import snapshot, transaction

ROWS_AT_A_TIME = 1_000
"""Of a whole history, as JSON: memory does not grow with the number of its rows."""


@click.command()
@click.argument("ref")
@click.option(
    "--at", type=INSTANT, help="Its balance at a past instant, such as 2026-11-01T00:00Z."
)
@click.option(
    "--by",
    type=click.Choice(["written", "event"]),
    help="With --at: what the books said then (the default), or by when things happened.",
)
@json_option
def balance(ref: str, at: datetime | None, by: reading.TimeKind | None, *, as_json: bool) -> None:
    """Show what account REF has and can spend; with --at, its balance then."""
    if by is not None and at is None:
        raise click.UsageError("--by says how --at is meant: give --at too")
    by = by or "written"
    with transaction() as session:
        account = find_or_fail(session, ref)
        record: Record = {"account": ref}
        if at is not None:
            record |= {
                "at": at,
                "by": by,
                "balance": reading.balance_at(session, ref, at, by=by),
            }
        else:
            record |= {
                "balance": account.balance,
                "held": account.held,
                "available": accounts.available(account),
                "overdraft_limit": account.overdraft_limit,
            }
    print_record(record, as_json=as_json)


@click.command()
@click.argument("ref")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only this kind.")
@click.option("--since", type=INSTANT, help="Only what happened from then on.")
@click.option("--until", type=INSTANT, help="Only what happened before then.")
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
    """Show what happened on account REF, newest first."""
    if since is not None and until is not None and until < since:
        raise click.UsageError("--until must not be before --since")
    wanted = reading.Filter(kind, since, until, lead_id, payment_id)
    count = page(limit, as_json=as_json)
    if as_json:
        print_json_list(_newest(ref, wanted, before, count))
        return
    # One more than is shown tells whether there are older ones.
    records = list(_newest(ref, wanted, before, count + 1))
    shown = [{name: record[name] for name in _COLUMNS} for record in records[:count]]
    print_records(shown, as_json=False, empty=f"Nothing has happened on {ref} that fits.")
    if len(records) > count:
        click.echo(f"Older rows: --before {shown[-1]['version']}", err=True)


@click.command()
@click.argument("ref")
@click.option("--from", "first", type=DAY, required=True, help="First day, in the account's zone.")
@click.option("--to", "last", type=DAY, required=True, help="Last day, included.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV in place of a table.")
@json_option
def statement(ref: str, first: date, last: date, *, as_csv: bool, as_json: bool) -> None:
    """Show the opening balance, the movements by kind and the closing balance of a period."""
    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    if last < first:
        raise click.UsageError("--to must not be before --from")
    with snapshot() as session:  # opening and movements are of one moment: so they add up
        zone = ZoneInfo(find_or_fail(session, ref).timezone)
        start = datetime.combine(first, time.min, tzinfo=zone).astimezone(UTC)
        end = end_of_local_day(datetime.combine(last, time(12), tzinfo=zone), zone.key)
        result = reading.statement(session, ref, start=start, end=end)
    lines: list[Record] = [{"line": "opening", "rows": None, "amount": result.opening}]
    lines += [{"line": t.kind, "rows": t.rows, "amount": t.amount} for t in result.totals]
    lines.append({"line": "closing", "rows": None, "amount": result.closing})
    if as_json:
        print_json(
            {
                "account": ref,
                "from": first.isoformat(),
                "to": last.isoformat(),
                "opening": result.opening,
                "movements": [
                    {"kind": t.kind, "rows": t.rows, "amount": t.amount} for t in result.totals
                ],
                "closing": result.closing,
            }
        )
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    else:
        print_records(lines, as_json=False, empty="")


@click.command()
@json_option
def outstanding(*, as_json: bool) -> None:
    """Show the credit that customers have not spent: paid against promotional, by product."""
    with transaction() as session:
        records = [
            {
                "product": row.product,
                "paid": row.paid,
                "promotional": row.promotional,
                "held": row.held,
                "debt": row.debt,
            }
            for row in reading.outstanding(session)
        ]
    print_records(records, as_json=as_json, empty="No accounts yet.")


# In a table: what fits beside each other on a screen.
_COLUMNS = (
    "id", "version", "amount", "balance_after", "kind", "idempotency_key", "description",
    "event_at", "actor",
)  # fmt: skip


def _newest(ref: str, wanted: reading.Filter, before: int | None, count: int) -> Iterator[Record]:
    """Yield up to `count` rows, newest first, in pages of a transaction each.

    A slow reader so holds no transaction open; rows are never changed, so that pages agree.
    """
    while count > 0:
        with transaction() as session:
            rows = reading.list_transactions(
                session, ref, wanted=wanted, before_version=before,
                limit=min(count, ROWS_AT_A_TIME),
            )  # fmt: skip
            keys = reading.reversed_keys(session, rows)
        for row in rows:
            yield _transaction(row, keys)
        if len(rows) < min(count, ROWS_AT_A_TIME) or rows[-1].version == 1:
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
