"""The lines that operators look for when a lead is disputed and when credit comes back.

Apart from the handler, for the command: it loads no Celery, which takes longer than most commands.
"""


def created_line(lead_id: str, dispute_type: str) -> str:
    """Return the line that operators look for when a dispute was opened."""
    return f"Dispute created: Lead {lead_id}, Type {dispute_type}"


def refunded_line(dispute_id: int, amount: int) -> str:
    """Return the line that operators look for when a dispute gave credits back."""
    return f"Refund processed: Dispute {dispute_id}, Amount {amount}"
