"""`billing payments`: list and show payments, attach one to an account."""

from functools import partial

import click
from sqlalchemy.orm import Session

from billing.payments import GatewayName, attachment, attention, queries
from billing.payments.queries import GATEWAYS, STATES, State
from cli.accounts import find_or_fail
from cli.cells import money
from cli.options import (
    ListView,
    View,
    actor_option,
    confirm,
    reason_option,
    record_options,
    timed_list_options,
    yes_option,
)
from cli.orders import order_record
from cli.output import (
    Columns,
    Record,
    Section,
    plain,
    print_json,
    print_list,
    print_record,
    print_records,
    print_sections,
    zone_of,
)
from cli.parked_leads import request_release
from db.models import AuditEntry, CreditTransaction, Payment
from db.pages import Page, Wanted
from db.session import snapshot, transaction
from errors import PermanentError
from tasks.operator_lines import released_line, verified_line


@click.group()
def payments() -> None:
    """List and show payments; attach one to an account.

    \b
    Examples:
      billing payments list --needs-a-look
      billing payments show pay_123
    """


_COLUMNS = Columns(
    "payment_id account state reason amount_paise created_at",
    more="gateway order_id currency refunded_paise credits bonus_credits credited_at request_id",
)


@payments.command(name="list")
@click.option("--state", type=click.Choice(STATES), help="Only this state.")
@click.option("--account", "ref", metavar="REF", help="Only this account's.")
@click.option("--gateway", type=click.Choice(GATEWAYS), help="Only this gateway's.")
@click.option("--needs-a-look", is_flag=True, help="Only what waits for a person, with the reason.")
@timed_list_options
def list_(
    state: State | None,
    ref: str | None,
    gateway: GatewayName | None,
    *,
    needs_a_look: bool,
    view: ListView,
) -> None:
    """List payments, newest first."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        account_id = find_or_fail(session, ref).id if ref is not None else None
        return queries.newest(
            session,
            wanted,
            state=state,
            account_id=account_id,
            gateway=gateway,
            needs_a_person=needs_a_look,
        ).map(lambda row: _payment(*row))

    print_list(read, view, columns=_COLUMNS, account=ref, empty="No payments match.")


@payments.command()
@click.argument("payment_id")
@click.option(
    "--gateway",
    type=click.Choice(GATEWAYS),
    help="Needed if both gateways have a payment with this id.",
)
@record_options
def show(payment_id: str, gateway: GatewayName | None, *, view: View) -> None:
    """Show a payment with its order, ledger rows and audit log.

    PAYMENT_ID is the gateway's.
    """
    with snapshot() as session:  # one moment for the payment and its ledger rows
        payment = queries.find(session, payment_id, gateway=gateway)
        if payment is None:
            raise PermanentError(f"there is no payment {payment_id!r}: see `billing payments list`")
        found = queries.find_order_of(session, payment)
        order = order_record(found) if found is not None else None
        ref = queries.find_account_ref(session, payment)
        record = _payment(payment, ref) | _more(payment)
        transactions = [_row(row) for row in queries.transactions_of(session, payment)]
        log = [_entry(entry) for entry in queries.audit_entries_of(session, payment)]
    if view.as_json:
        more = {"order": order, "transactions": transactions, "audit_log": log}
        print_json(record | more)
        return
    zone = zone_of(ref)
    sections: list[Section] = [("", partial(print_record, record, view))]
    if order is not None:
        sections.append(("Its order:", partial(print_record, order, view, zone=zone)))
    for title, records, columns in (
        ("Its ledger rows:", transactions, _ROW_COLUMNS),
        ("Its audit log:", log, _ENTRY_COLUMNS),
    ):
        if records:
            part = partial(print_records, records, view, columns=columns, zone=zone, empty="")
            sections.append((title, part))
    print_sections(sections)


_ROW_COLUMNS = Columns("idempotency_key kind amount created_at")
_ENTRY_COLUMNS = Columns("created_at actor door action before after")


@payments.command()
@click.argument("payment_id")
@click.option(
    "--account", "ref", metavar="REF", required=True, help="The account that gets the credit."
)
@reason_option
@actor_option
@click.option(
    "--gateway",
    type=click.Choice(GATEWAYS),
    help="Needed if both gateways have a payment with this id.",
)
@click.option("--credits", "credits_", type=int, help="Give as many, whatever the amount buys.")
@click.option(
    "--plan", metavar="NAME", help="Give a year of this plan (or renewal) of the catalog."
)
@yes_option
@record_options
def attach(
    payment_id: str,
    ref: str,
    credits_: int | None,
    plan: str | None,
    reason: str,
    actor: str,
    gateway: GatewayName | None,
    *,
    yes: bool,
    view: View,
) -> None:
    """Credit an unmatched or quarantined payment to an account.

    PAYMENT_ID is the gateway's. The account gets what the amount buys, unless --credits or --plan
    says otherwise, and its parked leads are charged from it at once. There is no other way to give
    credit for a payment.
    """
    given = attachment.Given(credits_, plan)
    confirm(lambda: _what_attaching_does(payment_id, ref, gateway, given), yes=yes)
    with transaction() as session:
        credited, released = attachment.attach(
            session,
            payment_id,
            account=ref,
            reason=reason,
            actor=actor,
            gateway=gateway,
            given=given,
        )
        payment = queries.find(session, payment_id, gateway=gateway)
        assert payment is not None  # it was attached above
        record = _payment(payment, ref)
    click.echo(verified_line(credited).text, err=True)
    for lead in released:
        click.echo(released_line(lead).text, err=True)
    print_record(record, view)
    request_release()


def _what_attaching_does(
    payment_id: str, ref: str, gateway: GatewayName | None, given: attachment.Given
) -> str:
    with transaction() as session:
        account = find_or_fail(session, ref)
        payment = queries.find(session, payment_id, gateway=gateway)
    paid = money(payment.amount_paise or 0, payment.currency or "INR") if payment else "?"
    gets = ""
    if given.credits is not None:
        gets = f" with {given.credits:,} credits"
    elif given.plan is not None:
        gets = f" with a year of {plain(given.plan)}"
    return f"Credit payment {plain(payment_id)} of {paid} to {ref} ({plain(account.name)}){gets}?"


def _payment(payment: Payment, account: str | None) -> Record:
    return {
        "payment_id": payment.gateway_payment_id,
        "gateway": payment.gateway,
        "order_id": payment.gateway_order_id,
        "account": account,
        "state": payment.state,
        "reason": attention.reason_of(payment),
        "amount_paise": payment.amount_paise,
        "currency": payment.currency,
        "refunded_paise": payment.refunded_paise,
        "credits": payment.credits,
        "bonus_credits": payment.bonus_credits,
        "created_at": payment.created_at,
        "credited_at": payment.credited_at,
        "request_id": payment.request_id,
    }


def _more(payment: Payment) -> Record:
    return {
        "receipt": payment.receipt,
        "method": payment.method,
        "fee_paise": payment.fee_paise,
        "tax_paise": payment.tax_paise,
        "error_code": payment.error_code,
        "error_reason": payment.error_reason,
        "happened_at": payment.happened_at,
        "updated_at": payment.updated_at,
    }


def _row(row: CreditTransaction) -> Record:
    return {
        "idempotency_key": row.idempotency_key,
        "kind": row.kind,
        "amount": row.amount,
        "created_at": row.created_at,
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
