"""What is available is the same by Python and by SQL, and never credit past its time."""

from datetime import timedelta

import pytest
from sqlalchemy import text

import clock
from billing import accounts, ledger
from billing.credit import holds
from billing.ledger import Kind, availability
from db.models import Account
from db.session import transaction
from tests.billing.given import give, open_account, post_all, take

pytestmark = pytest.mark.usefixtures("database")

REF = "clinic:42"
_AVAILABLE = text(f"SELECT {availability.AVAILABLE} FROM accounts a WHERE a.ref = :ref")


def by_sql() -> tuple[int, int]:
    """What SQL says is available, and unspent."""
    with transaction() as session:
        available = session.scalars(_AVAILABLE, {"ref": REF, "now": clock.now()}).one()
        account = session.query(Account).filter_by(ref=REF).one()
        return int(available), availability.unspent(session, account.id)


def by_python() -> int:
    """What the loaded account says after its credit has expired."""
    with transaction() as session:
        ledger.expire(session, {REF})
        return accounts.available(session.query(Account).filter_by(ref=REF).one())


@pytest.mark.parametrize(
    ("spent", "held", "available", "unspent"),
    [
        (0, 0, 350, 300),  # 200 of 500 have expired
        (400, 0, 150, 100),  # the credit that expires was spent first
        (0, 400, 50, 0),  # open holds keep what they need
        (520, 0, 30, 0),  # part of the overdraft is used
    ],
)
def test_sql_foresees_what_the_ledger_will_say(
    spent: int, held: int, available: int, unspent: int
) -> None:
    with clock.frozen(clock.now()):
        open_account(overdraft_limit=50)
        soon = clock.now() + timedelta(days=1)
        post_all(give(200, key="soon", kind=Kind.GRANT, expires_at=soon), give(300, key="kept"))
        if spent:
            post_all(take(spent, key="spent"))
        if held:
            with transaction() as session:
                holds.place(
                    session, account=REF, amount=held, idempotency_key="h", actor="test",
                    expires_in=None,
                )  # fmt: skip
        clock.advance(timedelta(days=2))

        assert by_sql() == (available, unspent)
        assert by_python() == available
