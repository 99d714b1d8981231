"""`billing chargebacks list`: payments that payers dispute with their banks."""

import click

from billing.returns import chargebacks as rules
from cli.options import json_option, limit_option, page
from cli.output import print_records
from db.session import transaction


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
@limit_option
@json_option
def list_(limit: int | None, *, open_only: bool, as_json: bool) -> None:
    """List chargebacks, newest first; with --open by their deadline.

    While a chargeback is open, the unspent credit of its payment is frozen; if it is lost, that
    credit is taken. An inquiry moves no money and freezes nothing.
    """
    with transaction() as session:
        listing = rules.open_by_deadline if open_only else rules.newest
        found = listing(session, limit=page(limit, as_json=as_json))
        records = [
            {
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
            }
            for chargeback, payment, account in found
        ]
    print_records(records, as_json=as_json, empty="No chargebacks.")
