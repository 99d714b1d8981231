"""The refusal of spending more credit than there is, for `api/holds.py` and `api/charges.py`."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from api import rule_refusals
from billing import accounts
from billing.ledger import InsufficientCredit


@contextmanager
def raised(session: Session, account_id: int) -> Iterator[None]:
    """Add what the account has to the 402 of a block that spends its credit."""
    try:
        yield
    except InsufficientCredit as error:
        refusal = rule_refusals.refusal_of(error)
        if refusal is None:
            raise
        found = accounts.get_funds(session, account_id)
        # `available` is what can pay for this; for a capture, its hold counts too.
        refusal.more |= {"balance": found.balance, "held": found.held}
        raise refusal from error
