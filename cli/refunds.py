"""`billing refunds`: preview, request, list and show refunds."""

from dataclasses import asdict
from uuid import uuid4

import click
from sqlalchemy.orm import Session

from billing.returns import refunds as rules
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
from cli.output import Columns, Record, plain, print_list, print_record
from db.models import Payment, Refund
from db.pages import Page, Wanted
from db.session import snapshot, transaction
from tasks.returns import submission

STATES = ("requested", "submitted", "unknown", "processed", "failed")

_amount = click.option(
    "--amount-paise", type=click.IntRange(min=1), help="In paise; by default all that is left."
)


@click.group()
def refunds() -> None:
    """Preview, request and show refunds.

    \b
    Example:
      billing refunds preview pay_123 --amount-paise 250000
    """


@refunds.command()
@click.argument("payment_id")
@_amount
@record_options
def preview(payment_id: str, amount_paise: int | None, *, view: View) -> None:
    """Show what a refund would do, and change nothing.

    PAYMENT_ID is the gateway's. Shows money, credit, bonus and debt.
    """
    with snapshot() as session:  # one moment for the payment and its credit
        found = rules.preview(session, payment_id, amount_paise)
    print_record(asdict(found), view)


@refunds.command()
@click.argument("payment_id")
@_amount
@reason_option
@actor_option
@click.option("--key", help="Idempotency key: a repeat with the same key makes no second refund.")
@yes_option
@record_options
def request(
    payment_id: str,
    amount_paise: int | None,
    reason: str,
    actor: str,
    key: str | None,
    *,
    yes: bool,
    view: View,
) -> None:
    """Refund a payment, wholly or in part.

    PAYMENT_ID is the gateway's. Its credit is reserved, then the gateway is asked.
    """
    confirm(lambda: _what_it_does(payment_id, amount_paise), yes=yes)
    asked = submission.request_refund(
        payment_id=payment_id,
        amount_paise=amount_paise,
        reason=reason,
        actor=actor,
        request_key=f"cli:{key or uuid4()}",
    )
    print_record(asdict(asked), view)


def _what_it_does(payment_id: str, amount_paise: int | None) -> str:
    with snapshot() as session:
        found = rules.preview(session, payment_id, amount_paise)
    question = f"Refund {money(found.amount_paise, 'INR')} of payment {plain(payment_id)}"
    if found.account:
        question += f" and take {found.credits + found.bonus_credits:,} credits of {found.account}"
    return f"{question}?"


@refunds.command(name="list")
@click.option("--state", type=click.Choice(STATES), help="Only this state.")
@click.option(
    "--needs-a-look",
    is_flag=True,
    help="Only those that the gateway, or we, could not settle so far.",
)
@timed_list_options
def list_(state: str | None, *, needs_a_look: bool, view: ListView) -> None:
    """List refunds, newest first."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        found = rules.newest(session, wanted, state=state, needs_a_person=needs_a_look)
        return found.map(lambda row: _record(*row))

    print_list(read, view, columns=_COLUMNS, empty="No refunds match.")


_COLUMNS = Columns(
    "refund_id payment_id state amount_paise created_at",
    more="gateway_refund_id credit credits bonus_credits debt reason requested_by settled_at"
    " last_error settlement_error settlement_failed_at request_id",
)


@refunds.command()
@click.argument("refund_id", type=click.IntRange(min=1))
@record_options
def show(refund_id: int, *, view: View) -> None:
    """Show refund REFUND_ID."""
    with transaction() as session:
        record = _record(*rules.get(session, refund_id))
    print_record(record, view)


def _record(refund: Refund, payment: Payment) -> Record:
    return {
        "refund_id": refund.id,
        "gateway_refund_id": refund.gateway_refund_id,
        "payment_id": payment.gateway_payment_id,
        "state": refund.state,
        "amount_paise": refund.amount_paise,
        "credit": refund.position,
        "credits": refund.credits,
        "bonus_credits": refund.bonus_credits,
        "debt": refund.debt,
        "reason": refund.reason,
        "requested_by": refund.requested_by,
        "created_at": refund.created_at,
        "settled_at": refund.settled_at,
        "last_error": refund.last_error,
        "settlement_error": refund.settlement_error,
        "settlement_failed_at": refund.settlement_failed_at,
        "request_id": refund.request_id,
    }
