"""`billing chargebacks list`: payments that payers dispute with their banks."""

import click
from sqlalchemy.orm import Session

from billing.returns import chargebacks as rules
from cli.options import ListView, timed_list_options
from cli.output import Columns, Record, print_list
from db.models import Chargeback, Payment
from db.pages import Page, Wanted


@click.group()
def chargebacks() -> None:
    """Show payments that payers dispute with their banks.

    \b
    Example:
      billing chargebacks list --open
    """


@chargebacks.command(name="list")
@click.option(
    "--open", "open_only", is_flag=True, help="Only chargebacks that can still be answered."
)
@click.option("--needs-a-look", is_flag=True, help="Only those whose credit cannot be settled.")
@timed_list_options
def list_(*, open_only: bool, needs_a_look: bool, view: ListView) -> None:
    """List chargebacks, newest first; with --open by their deadline.

    While a chargeback is open, the unspent credit of its payment is frozen; if it is lost, that
    credit is taken. An inquiry moves no money and freezes nothing.
    """
    if open_only and needs_a_look:
        raise click.UsageError("give --open or --needs-a-look, not both")

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        if open_only:
            found = rules.open_by_deadline(session, wanted)
        else:
            found = rules.newest(session, wanted, needs_a_person=needs_a_look)
        return found.map(lambda row: _chargeback(*row))

    print_list(read, view, columns=_COLUMNS, empty="No chargebacks.")


_COLUMNS = Columns(
    "dispute_id account state amount_paise respond_by",
    more="payment_id phase reason_code moves_money credit credits bonus_credits debt"
    " settlement_error settlement_failed_at request_id",
)


def _chargeback(chargeback: Chargeback, payment: Payment, account: str | None) -> Record:
    return {
        "dispute_id": chargeback.gateway_dispute_id,
        "payment_id": payment.gateway_payment_id,
        "account": account,
        "state": chargeback.state,
        "respond_by": chargeback.respond_by,
        "amount_paise": chargeback.amount_paise,
        "phase": chargeback.phase,
        "reason_code": chargeback.reason_code,
        "moves_money": chargeback.moves_money,
        "credit": chargeback.position,
        "credits": chargeback.credits,
        "bonus_credits": chargeback.bonus_credits,
        "debt": chargeback.debt,
        "settlement_error": chargeback.settlement_error,
        "settlement_failed_at": chargeback.settlement_failed_at,
        "request_id": chargeback.request_id,
    }
