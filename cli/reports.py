"""`billing balance`, `statement` and `outstanding`: figures of the ledger."""

import csv
import sys
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import click

from billing import accounts, reports
from billing.calendar import end_of_local_day
from billing.reports.history import TimeKind
from cli.accounts import find_or_fail
from cli.options import json_option
from cli.output import Record, print_json, print_record, print_records
from cli.times import DAY, INSTANT
from db.session import snapshot, transaction


@click.command()
@click.argument("ref")
@click.option("--at", type=INSTANT, help="Its balance at a past time, such as 2026-11-01T00:00Z.")
@click.option(
    "--by",
    type=click.Choice(["written", "event"]),
    help="With --at: count rows written by then (the default), or whose event was by then.",
)
@json_option
def balance(ref: str, at: datetime | None, by: TimeKind | None, *, as_json: bool) -> None:
    """Show the balance of account REF and what it can spend.

    \b
    Examples:
      billing balance clinic:42
      billing balance clinic:42 --at 2026-11-01T00:00Z
    """
    if by is not None and at is None:
        raise click.UsageError("--by needs --at")
    by = by or "written"
    with transaction() as session:
        account = find_or_fail(session, ref)
        record: Record = {"account": ref}
        if at is not None:
            record |= {
                "at": at,
                "by": by,
                "balance": reports.history.balance_at(session, ref, at, by=by),
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
@click.option("--from", "first", type=DAY, required=True, help="First day, in the account's zone.")
@click.option("--to", "last", type=DAY, required=True, help="Last day, included.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@json_option
def statement(ref: str, first: date, last: date, *, as_csv: bool, as_json: bool) -> None:
    """Show opening balance, movements and closing balance.

    \b
    Example:
      billing statement clinic:42 --from 2026-11-01 --to 2026-11-30 --csv
    """
    if as_csv and as_json:
        raise click.UsageError("give --csv or --json, not both")
    if last < first:
        raise click.UsageError("--to must not be before --from")
    with snapshot() as session:  # one moment for all figures: they add up
        zone = ZoneInfo(find_or_fail(session, ref).timezone)
        start = datetime.combine(first, time.min, tzinfo=zone).astimezone(UTC)
        end = end_of_local_day(datetime.combine(last, time(12), tzinfo=zone), zone.key)
        result = reports.history.statement(session, ref, start=start, end=end)
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
    """Show the unspent credit of all customers by product.

    Paid credit is a liability; promotional credit was given away.
    """
    with transaction() as session:
        records = [
            {
                "product": row.product,
                "paid": row.paid,
                "promotional": row.promotional,
                "held": row.held,
                "debt": row.debt,
            }
            for row in reports.history.outstanding(session)
        ]
    print_records(records, as_json=as_json, empty="No accounts.")
