"""`billing refunds`: preview, request, list and show refunds."""

from dataclasses import asdict
from uuid import uuid4

import click

from billing.returns import refunds as rules
from cli.options import actor_option, json_option, limit_option, page, reason_option
from cli.output import Record, print_record, print_records
from db.models import Payment, Refund
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
@json_option
def preview(payment_id: str, amount_paise: int | None, *, as_json: bool) -> None:
    """Show what a refund would do, and change nothing.

    PAYMENT_ID is the gateway's. Shows money, credit, bonus and debt.
    """
    with snapshot() as session:  # one moment for the payment and its credit
        found = rules.preview(session, payment_id, amount_paise)
    print_record(asdict(found), as_json=as_json)


@refunds.command()
@click.argument("payment_id")
@_amount
@reason_option
@actor_option
@click.option("--key", help="Idempotency key: a repeat with the same key makes no second refund.")
@json_option
def request(
    payment_id: str,
    amount_paise: int | None,
    reason: str,
    actor: str,
    key: str | None,
    *,
    as_json: bool,
) -> None:
    """Refund a payment, wholly or in part.

    PAYMENT_ID is the gateway's. Its credit is reserved, then the gateway is asked.
    """
    asked = submission.request_refund(
        payment_id=payment_id,
        amount_paise=amount_paise,
        reason=reason,
        actor=actor,
        request_key=f"cli:{key or uuid4()}",
    )
    print_record(asdict(asked), as_json=as_json)


@refunds.command(name="list")
@click.option("--state", type=click.Choice(STATES), help="Only this state.")
@limit_option
@json_option
def list_(state: str | None, limit: int | None, *, as_json: bool) -> None:
    """List refunds, newest first."""
    with transaction() as session:
        found = rules.newest(session, state=state, limit=page(limit, as_json=as_json))
        records = [_record(refund, payment) for refund, payment in found]
    print_records(records, as_json=as_json, empty="No refunds match.")


@refunds.command()
@click.argument("refund_id", type=click.IntRange(min=1))
@json_option
def show(refund_id: int, *, as_json: bool) -> None:
    """Show refund REFUND_ID."""
    with transaction() as session:
        record = _record(*rules.get(session, refund_id))
    print_record(record, as_json=as_json)


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
    }
