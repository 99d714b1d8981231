"""A change of an account's time zone, and with it of its plan's instants; for `cli/accounts.py`."""

from sqlalchemy.orm import Session

import clock
from billing import accounts
from billing.errors import UnknownAccount
from billing.plans.plan_dates import set_instants
from billing.plans.plan_locks import load_owners, lock_plans
from db.errors import DatabaseBusy
from db.models import Account


def move_to_zone(session: Session, ref: str, timezone: str) -> Account:
    """Give an account another time zone, and its plan the instants of the same days there.

    The next month stays the next month, so that none is granted twice and none is skipped. Nothing
    changes if the account is in that zone already. Raises
    `UnknownAccount` or `InvalidAccount`, and `DatabaseBusy` if a plan begins at this moment.
    """
    account = accounts.find(session, ref)
    if account is None:
        raise UnknownAccount(ref)
    # Before the account: as everywhere, plans are locked first.
    plan = lock_plans(session, [account.id]).get(account.id)
    if plan is None:
        accounts.lock_against_references(session, account.id)
        if lock_plans(session, [account.id]):
            raise DatabaseBusy(f"{ref} got a plan a moment ago; try again")
    moved_from = load_owners(session, [account.id])[account.id].timezone
    account = accounts.set_timezone(session, ref, timezone)
    if plan is not None and moved_from != timezone:
        set_instants(plan, timezone, moved_from=moved_from)
        plan.updated_at = clock.now()
    session.flush()
    return account
