"""What becomes of endpoints with time."""

from datetime import datetime

from sqlalchemy.orm import Session


def review_endpoints(session: Session, *, now: datetime) -> bool:
    """Do what is due of endpoints; return whether there is more: call again, in a new transaction.

    Endpoints fail after an hour without success, are off after five days, and listeners end with
    their lease; pending deliveries of what is off or removed are skipped, a bounded number a call.
    """
    raise NotImplementedError
