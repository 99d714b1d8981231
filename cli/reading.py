"""`billing balance`, `history`, `statement` and `outstanding`: what the ledger says."""

import csv
import sys
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import click

from billing import accounts as book
from billing import history as reading
from billing.calendar import end_of_local_day
from billing.kinds import Kind
from cli.accounts import find_or_fail
from cli.output import (
    Record,
    json_option,
    limit_option,
    page,
    print_json,
    print_record,
    print_records,
)
from cli.times import DAY, INSTANT
from db.models import CreditTransaction
from db.session import transaction


@click.command()
@click.argument("ref")
@click.option(
    "--at", type=INSTANT, help="Its balance at a past instant, such as 2026-11-01T00:00Z."
)
@click.option(
    "--by",
    type=click.Choice(["written", "event"]),
    default="written",
    help="With --at: what the books said then, or by when things happened.",
)
@json_option
def balance(ref: str, at: datetime | None, by: reading.TimeKind, *, as_json: bool) -> None:
    """Show what account REF has and can spend; with --at, its balance then."""
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
                "available": book.available(account),
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
@click.option("--before", type=int, help="The next page: rows before this version.")
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
    wanted = reading.Filter(kind, since, until, lead_id, payment_id)
    with transaction() as session:
        rows = reading.history(
            session, ref, wanted=wanted, before_version=before, limit=page(limit, as_json=as_json)
        )
        records = [_transaction(row) for row in rows]
    print_records(records, as_json=as_json, empty=f"Nothing has happened on {ref} that fits.")
    if not as_json and len(records) == page(limit, as_json=False) and records[-1]["version"] > 1:
        click.echo(f"Older rows: --before {records[-1]['version']}", err=True)


@click.command()
@click.argument("ref")
@click.option("--from", "first", type=DAY, required=True, help="First day, in the account's zone.")
@click.option("--to", "last", type=DAY, required=True, help="Last day, included.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV in place of a table.")
@json_option
def statement(ref: str, first: date, last: date, *, as_csv: bool, as_json: bool) -> None:
    """Show the opening balance, the movements by kind and the closing balance of a period."""
    if last < first:
        raise click.UsageError("--to must not be before --from")
    with transaction() as session:
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


def _transaction(row: CreditTransaction) -> Record:
    return {
        "id": row.id,
        "version": row.version,
        "amount": row.amount,
        "balance_after": row.balance_after,
        "kind": row.kind,
        "idempotency_key": row.idempotency_key,
        "description": row.description,
        "event_at": row.event_at,
    }
