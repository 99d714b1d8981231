"""The refusals of spending credit, for `api/holds.py` and `api/charges.py`."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from api.problems import Refusal, bad_field
from billing import accounts
from billing.credit import HoldFinished, InvalidHold
from billing.ledger import InsufficientCredit


@contextmanager
def raised(session: Session, account_id: int) -> Iterator[None]:
    """Raise a `Refusal` for each error of the rules in a block that spends an account's credit."""
    try:
        yield
    except InsufficientCredit as error:
        found = accounts.get_funds(session, account_id)
        raise Refusal(
            402,
            f"{error.needed} credits are needed, {error.available} are available",
            kind="not-enough-credit",
            more={
                "needed": error.needed,
                "balance": found.balance,
                "held": found.held,
                # What can pay for this; for a capture, its hold counts too.
                "available": error.available,
            },
        ) from error
    except HoldFinished as error:
        raise Refusal(
            409,
            f"this hold is already {error.state}",
            kind="hold-finished",
            more={"state": error.state},
        ) from error
    except InvalidHold as error:
        raise bad_field(error.field, error.problem) from error
