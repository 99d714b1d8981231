"""The words of the four lines that operators look for (docs/reference/log-lines.md), with fields.

The words stay as they are; programs read the fields. Used by the handlers of inbox rows, the API
and the command. Imports no Celery, which takes longer to load than most commands to run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from billing.leads import ReleasedLead
from billing.payments import CreditedPayment, IntakeResult

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its words, and what a program wants to know of what they say."""

    text: str
    fields: Mapping[str, object] = field(default_factory=dict)
    """Without a `request_id` the line has that of the request at work."""


def deduction_line(
    account: str,
    amount: int,
    *,
    lead_id: str,
    transaction_id: int | None,
    balance: int | None,
    request_id: str | None,
) -> Line:
    """Return the line for credits that were deducted from `account` for a lead."""
    return Line(
        f"Credit deduction: Clinic {account.partition(':')[2]}, Amount {amount}",
        {
            "account": account,
            "lead_id": lead_id,
            "credits": amount,
            "transaction": transaction_id,
            "balance": balance,
            "request_id": request_id,
        },
    )


def released_line(lead: ReleasedLead) -> Line:
    """Return the line for a lead that was parked and is charged now."""
    return deduction_line(
        lead.account,
        lead.credits,
        lead_id=lead.lead_id,
        transaction_id=lead.transaction_id,
        balance=lead.balance,
        request_id=lead.request_id,
    )


def verified_line(credited: CreditedPayment) -> Line:
    """Return the line for a payment that was credited."""
    return Line(
        f"Payment verified: {credited.payment_id}, Credits {credited.credits}",
        {
            "account": credited.account,
            "credits": credited.credits,
            "transaction": credited.transaction_id,
            "request_id": credited.request_id,
            "order_request_id": credited.order_request_id,
        },
    )


def created_line(dispute_id: int, lead_id: str, dispute_type: str, *, account: str) -> Line:
    """Return the line for a dispute that was opened."""
    return Line(
        f"Dispute created: Lead {lead_id}, Type {dispute_type}",
        {"account": account, "lead_id": lead_id, "dispute": dispute_id},
    )


def refunded_line(dispute_id: int, amount: int) -> Line:
    """Return the line for a dispute that gave credits back."""
    return Line(
        f"Refund processed: Dispute {dispute_id}, Amount {amount}",
        {"dispute": dispute_id, "credits": amount},
    )


def payment_lines(taken: IntakeResult) -> list[Line]:
    """Return the lines for payments taken in: those credited, then the leads they released."""
    return [*map(verified_line, taken.credited), *map(released_line, taken.released)]


def write_to_log(lines: Iterable[Line]) -> None:
    """Log each line; called after the commit of what it says."""
    for line in lines:
        log.info(line.text, **line.fields)
