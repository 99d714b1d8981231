"""`billing orders`: list and show orders."""

from functools import partial

import click
from sqlalchemy.orm import Session

from billing.payments import GatewayName, order_queries
from billing.payments.order_queries import STATES, State
from billing.payments.queries import GATEWAYS
from cli.accounts import find_or_fail
from cli.options import ListView, View, record_options, timed_list_options
from cli.output import (
    Columns,
    Record,
    Section,
    print_json,
    print_list,
    print_record,
    print_records,
    print_sections,
    zone_of,
)
from db.models import AuditEntry, Order, Payment
from db.pages import Page, Wanted
from db.session import snapshot
from errors import PermanentError


@click.group()
def orders() -> None:
    """List and show orders.

    \b
    Examples:
      billing orders list --state open --account clinic:42
      billing orders show order_123
    """


_COLUMNS = Columns(
    "order_id account state amount_paise created_at",
    more="receipt gateway package plan currency credits bonus_credits requested_by last_error"
    " request_id",
)


@orders.command(name="list")
@click.option("--state", type=click.Choice(STATES), help="Only this state.")
@click.option("--account", "ref", metavar="REF", help="Only this account's.")
@click.option("--gateway", type=click.Choice(GATEWAYS), help="Only this gateway's.")
@click.option(
    "--needs-a-look", is_flag=True, help="Only those that the gateway could not settle so far."
)
@timed_list_options
def list_(
    state: State | None,
    ref: str | None,
    gateway: GatewayName | None,
    *,
    needs_a_look: bool,
    view: ListView,
) -> None:
    """List orders, newest first."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        account_id = find_or_fail(session, ref).id if ref is not None else None
        return order_queries.newest(
            session,
            wanted,
            state=state,
            account_id=account_id,
            gateway=gateway,
            unsettled=needs_a_look,
        ).map(lambda row: _listed(*row))

    print_list(read, view, columns=_COLUMNS, account=ref, empty="No orders match.")


@orders.command()
@click.argument("order_id")
@record_options
def show(order_id: str, *, view: View) -> None:
    """Show an order with its payments and audit log.

    ORDER_ID is the gateway's, or our receipt.
    """
    with snapshot() as session:
        found = order_queries.find(session, order_id)
        if found is None:
            raise PermanentError(f"there is no order {order_id!r}: see `billing orders list`")
        order, ref = found
        record = _listed(order, ref) | {"next_ask_at": order.next_ask_at, "asks": order.asks}
        paid = [_payment(payment) for payment in order_queries.payments_of(session, order)]
        log = [_entry(entry) for entry in order_queries.audit_entries_of(session, order)]
    if view.as_json:
        print_json(record | {"payments": paid, "audit_log": log})
        return
    zone = zone_of(ref)
    sections: list[Section] = [("", partial(print_record, record, view))]
    for title, records, columns in (
        ("Its payments:", paid, Columns("payment_id state reason amount_paise created_at")),
        ("Its audit log:", log, Columns("created_at actor door action before after")),
    ):
        if records:
            part = partial(print_records, records, view, columns=columns, zone=zone, empty="")
            sections.append((title, part))
    print_sections(sections)


def order_record(order: Order) -> Record:
    """Return what is printed of an order, without its account."""
    return {
        "order_id": order.gateway_order_id,
        "receipt": order.receipt,
        "state": order.state,
        "package": order.package,
        "plan": order.plan,
        "amount_paise": order.amount_paise,
        "currency": order.currency,
        "credits": order.credits,
        "bonus_credits": order.bonus_credits,
        "requested_by": order.requested_by,
        "created_at": order.created_at,
        "last_error": order.last_error,
        "request_id": order.request_id,
    }


def _listed(order: Order, account: str) -> Record:
    return order_record(order) | {"gateway": order.gateway, "account": account}


def _payment(payment: Payment) -> Record:
    return {
        "payment_id": payment.gateway_payment_id,
        "state": payment.state,
        "reason": payment.reason,
        "amount_paise": payment.amount_paise,
        "currency": payment.currency,
        "created_at": payment.created_at,
    }


def _entry(entry: AuditEntry) -> Record:
    return {
        "created_at": entry.created_at,
        "actor": entry.actor,
        "door": entry.door,
        "action": entry.action,
        "before": entry.before,
        "after": entry.after,
    }
