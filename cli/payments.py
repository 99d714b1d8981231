"""`billing payments`: list and show payments, attach one to an account."""

import click
from sqlalchemy.orm import Session

from billing.payments import GatewayName, attachment, queries
from billing.payments.queries import GATEWAYS, STATES, State
from cli.accounts import find_or_fail
from cli.options import ListView, actor_option, json_option, list_options, reason_option
from cli.output import (
    Columns,
    Record,
    inline_json,
    print_json,
    print_list,
    print_record,
    print_records,
)
from cli.parked_leads import request_release
from db.models import AuditEntry, CreditTransaction, Order, Payment
from db.pages import Page
from db.session import snapshot, transaction
from errors import PermanentError
from tasks.operator_lines import deduction_line, verified_line


@click.group()
def payments() -> None:
    """List and show payments; attach one to an account.

    \b
    Examples:
      billing payments list --state unmatched
      billing payments show pay_123
    """


_COLUMNS = Columns(
    "payment_id account state amount_paise created_at",
    more="gateway order_id reason currency refunded_paise credits bonus_credits credited_at",
)


@payments.command(name="list")
@click.option("--state", type=click.Choice(STATES), help="Only this state.")
@click.option("--account", "ref", metavar="REF", help="Only this account's.")
@click.option("--gateway", type=click.Choice(GATEWAYS), help="Only this gateway's.")
@list_options
def list_(
    state: State | None, ref: str | None, gateway: GatewayName | None, *, view: ListView
) -> None:
    """List payments, newest first."""

    def read(session: Session, after: str | None, limit: int) -> Page[Record]:
        account_id = find_or_fail(session, ref).id if ref is not None else None
        return queries.newest(
            session, state=state, account_id=account_id, gateway=gateway, after=after, limit=limit
        ).map(lambda row: _payment(*row))

    print_list(read, view, columns=_COLUMNS, account=ref, empty="No payments match.")


@payments.command()
@click.argument("payment_id")
@click.option(
    "--gateway",
    type=click.Choice(GATEWAYS),
    help="Needed if both gateways have a payment with this id.",
)
@json_option
def show(payment_id: str, gateway: GatewayName | None, *, as_json: bool) -> None:
    """Show a payment with its order, ledger rows and audit log.

    PAYMENT_ID is the gateway's.
    """
    with snapshot() as session:  # one moment for the payment and its ledger rows
        payment = queries.find(session, payment_id, gateway=gateway)
        if payment is None:
            raise PermanentError(f"there is no payment {payment_id!r}: see `billing payments list`")
        found = queries.find_order_of(session, payment)
        order = _order(found) if found is not None else None
        record = _payment(payment, queries.find_account_ref(session, payment)) | _more(payment)
        transactions = [_row(row) for row in queries.transactions_of(session, payment)]
        log = [
            _entry(entry, as_json=as_json) for entry in queries.audit_entries_of(session, payment)
        ]
    if as_json:
        more = {"order": order, "transactions": transactions, "audit_log": log}
        print_json(record | more)
        return
    print_record(record, as_json=False)
    if order is not None:
        click.echo("Its order:")
        print_record(order, as_json=False)
    for title, records in (("Its ledger rows:", transactions), ("Its audit log:", log)):
        if records:
            click.echo(title)
            print_records(records, as_json=False, empty="")


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
@json_option
def attach(
    payment_id: str,
    ref: str,
    credits_: int | None,
    plan: str | None,
    reason: str,
    actor: str,
    gateway: GatewayName | None,
    *,
    as_json: bool,
) -> None:
    """Credit an unmatched or quarantined payment to an account.

    PAYMENT_ID is the gateway's. The account gets what the amount buys, unless --credits or --plan
    says otherwise, and its parked leads are charged from it at once. There is no other way to give
    credit for a payment.
    """
    given = attachment.Given(credits_, plan)
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
    click.echo(verified_line(credited), err=True)
    for lead in released:
        click.echo(deduction_line(lead.account, lead.credits), err=True)
    print_record(record, as_json=as_json)
    request_release()


def _payment(payment: Payment, account: str | None) -> Record:
    return {
        "payment_id": payment.gateway_payment_id,
        "gateway": payment.gateway,
        "order_id": payment.gateway_order_id,
        "account": account,
        "state": payment.state,
        "reason": payment.reason,
        "amount_paise": payment.amount_paise,
        "currency": payment.currency,
        "refunded_paise": payment.refunded_paise,
        "credits": payment.credits,
        "bonus_credits": payment.bonus_credits,
        "created_at": payment.created_at,
        "credited_at": payment.credited_at,
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


def _order(order: Order) -> Record:
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
    }


def _row(row: CreditTransaction) -> Record:
    return {
        "idempotency_key": row.idempotency_key,
        "kind": row.kind,
        "amount": row.amount,
        "created_at": row.created_at,
    }


def _entry(entry: AuditEntry, *, as_json: bool) -> Record:
    return {
        "created_at": entry.created_at,
        "actor": entry.actor,
        "door": entry.door,
        "action": entry.action,
        "before": entry.before if as_json else inline_json(entry.before),
        "after": entry.after if as_json else inline_json(entry.after),
    }
