"""What spending credit is refused for: `api/holds.py` and `api/charges.py` tell it alike."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from api.problems import Refusal, bad_field
from billing import accounts
from billing.credit import HoldFinished, InvalidHold
from billing.ledger import InsufficientCredit


@contextmanager
def told(session: Session, account_id: int) -> Iterator[None]:
    """Turn what the rules refuse of a block that spends `account_id`'s credit into a refusal."""
    try:
        yield
    except InsufficientCredit as error:
        found = accounts.get_funds(session, account_id)
        raise Refusal(
            402,
            f"{error.needed} credits are needed and {error.available} are available",
            kind="not-enough-credit",
            more={
                "needed": error.needed,
                "balance": found.balance,
                "held": found.held,
                # What could pay for this: of a capture, its hold too.
                "available": error.available,
            },
        ) from error
    except HoldFinished as error:
        raise Refusal(
            409,
            f"this hold is {error.state} already",
            kind="hold-finished",
            more={"state": error.state},
        ) from error
    except InvalidHold as error:
        raise bad_field(error.field, error.problem) from error
