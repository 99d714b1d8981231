"""`billing balance`, `statement` and `outstanding`: figures of the ledger."""

from datetime import date
from zoneinfo import ZoneInfo

import click

from billing import accounts, reports
from billing.reports.history import TimeKind
from cli.accounts import find_or_fail
from cli.options import View, record_options, table_options
from cli.output import Columns, Record, print_json, print_record, print_records
from cli.times import DAY, WHEN, When
from db.session import snapshot, transaction


@click.command()
@click.argument("ref")
@click.option("--at", type=WHEN, help="Its balance at a past time, such as 2026-11-01 or 7d.")
@click.option(
    "--by",
    type=click.Choice(["written", "event"]),
    help="With --at: count rows written by then (the default), or whose event was by then.",
)
@record_options
def balance(ref: str, at: When | None, by: TimeKind | None, *, view: View) -> None:
    """Show the balance of account REF and what it can spend.

    \b
    Examples:
      billing balance clinic:42
      billing balance clinic:42 --at 2026-11-01
    """
    if by is not None and at is None:
        raise click.UsageError("--by needs --at")
    by = by or "written"
    with transaction() as session:
        account = find_or_fail(session, ref)
        record: Record = {"account": ref}
        if at is not None:
            moment = at.at(ZoneInfo(account.timezone))
            record |= {
                "at": moment,
                "by": by,
                "balance": reports.history.balance_at(session, ref, moment, by=by),
            }
        else:
            record |= {
                "balance": account.balance,
                "held": account.held,
                "available": accounts.available(account),
                "overdraft_limit": account.overdraft_limit,
            }
    print_record(record, view)


@click.command()
@click.argument("ref")
@click.option("--from", "first", type=DAY, required=True, help="First day, in the account's zone.")
@click.option("--to", "last", type=DAY, required=True, help="Last day, included.")
@table_options
def statement(ref: str, first: date, last: date, *, view: View) -> None:
    """Show opening balance, movements and closing balance.

    \b
    Example:
      billing statement clinic:42 --from 2026-11-01 --to 2026-11-30 --csv
    """
    if last < first:
        raise click.UsageError("--to must not be before --from")
    with snapshot() as session:  # one moment for all figures: they add up
        timezone = find_or_fail(session, ref).timezone
        start, end = reports.periods.period_of(first, last, timezone)
        result = reports.history.statement(session, ref, start=start, end=end)
    lines: list[Record] = [{"line": "opening", "rows": None, "amount": result.opening}]
    lines += [{"line": t.kind, "rows": t.rows, "amount": t.amount} for t in result.totals]
    lines.append({"line": "closing", "rows": None, "amount": result.closing})
    if view.as_json:
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
        return
    print_records(lines, view, columns=Columns("line rows amount"), empty="")


@click.command()
@table_options
def outstanding(*, view: View) -> None:
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
    columns = Columns("product paid promotional held debt")
    print_records(records, view, columns=columns, empty="No accounts.")
