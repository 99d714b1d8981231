"""The words of the four lines that operators look for (docs/reference/log-lines.md).

Used by the handlers of inbox rows, the API and the command. Imports no Celery, which takes longer
to load than most commands to run.
"""

from collections.abc import Iterable

import structlog

from billing.payments import CreditedPayment, IntakeResult

log = structlog.get_logger()


def deduction_line(account: str, amount: int) -> str:
    """Return the line for credits that were deducted from `account` for a lead."""
    return f"Credit deduction: Clinic {account.partition(':')[2]}, Amount {amount}"


def verified_line(credited: CreditedPayment) -> str:
    """Return the line for a payment that was credited."""
    return f"Payment verified: {credited.payment_id}, Credits {credited.credits}"


def created_line(lead_id: str, dispute_type: str) -> str:
    """Return the line for a dispute that was opened."""
    return f"Dispute created: Lead {lead_id}, Type {dispute_type}"


def refunded_line(dispute_id: int, amount: int) -> str:
    """Return the line for a dispute that gave credits back."""
    return f"Refund processed: Dispute {dispute_id}, Amount {amount}"


def payment_lines(taken: IntakeResult) -> list[str]:
    """Return the lines for payments taken in: those credited, then the leads they released."""
    return [
        *map(verified_line, taken.credited),
        *(deduction_line(lead.account, lead.credits) for lead in taken.released),
    ]


def write_to_log(lines: Iterable[str]) -> None:
    """Log each line; called after the commit of what it says."""
    for line in lines:
        log.info(line)
