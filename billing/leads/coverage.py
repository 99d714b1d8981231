"""Which parked leads the credit of their accounts covers: read and locked.

Used by `billing/leads/charging.py`, which lets new leads wait behind covered ones, and by
`billing/leads/parking.py`, which releases them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing.leads.charge_posting import charge_posting, products_without_parking
from billing.ledger import Posting, availability
from db.bulk import int_array, text_array

_OLDEST_PARKED_IS_COVERED = f"""{availability.AVAILABLE} >=
  (SELECT l.credits FROM lead_charges l WHERE l.account_id = a.id AND l.state = 'parked'
    ORDER BY l.parked_number, l.lead_id LIMIT 1)"""


@dataclass(frozen=True, slots=True)
class ParkedLead:
    """A parked lead, with what its charge needs."""

    lead_id: str
    account_id: int
    account: str
    package_price_paise: int
    credits: int
    """Its price on the day it was parked, whatever the catalog says by now."""
    occurred_at: datetime
    product: str
    request_id: str | None
    """Of the request that brought the lead: its charge is part of that one's way."""

    def posting(self, actor: str) -> Posting:
        """Return its charge; it passes the overdraft limit if its product parks no leads by now."""
        return charge_posting(
            lead_id=self.lead_id,
            account=self.account,
            package_price_paise=self.package_price_paise,
            price_credits=self.credits,
            occurred_at=self.occurred_at,
            actor=actor,
            passes_overdraft_limit=self.product in products_without_parking(),
            request_id=self.request_id,
        )


_WITH_PARKED = text("""
SELECT DISTINCT a.ref FROM lead_charges l JOIN accounts a ON a.id = l.account_id
 WHERE l.state = 'parked' AND a.ref = ANY(CAST(:refs AS text[]))
""")
_LOCK = text("""
SELECT 1 FROM accounts WHERE ref = ANY(CAST(:refs AS text[])) ORDER BY id FOR NO KEY UPDATE
""")
_COVERED_ACCOUNTS = text(f"""
SELECT a.ref, a.id FROM accounts a
 WHERE a.ref = ANY(CAST(:refs AS text[])) AND {_OLDEST_PARKED_IS_COVERED}
""")


def lock_covered(session: Session, accounts: Collection[str]) -> dict[str, int]:
    """Return those of `accounts` whose oldest parked lead is covered: reference -> id.

    Such a lead is released in a moment, and new leads have to wait behind it. If any account has a
    parked lead, all of them are locked, in the order of every post.
    """
    refs = session.scalars(_WITH_PARKED, {"refs": text_array(accounts)}).all()
    if not refs:
        return {}
    session.execute(_LOCK, {"refs": text_array(accounts)})
    covered = session.execute(_COVERED_ACCOUNTS, {"refs": text_array(refs), "now": clock.now()})
    return {ref: id_ for ref, id_ in covered}  # noqa: C416 - rows are not pairs to dict()


# Locked here, so that what is covered stays covered until it is posted; an account that somebody
# else has locked is left for the next turn.
_LOCK_DUE = text(f"""
SELECT a.id FROM accounts a
 WHERE a.id IN (SELECT account_id FROM lead_charges WHERE state = 'parked')
   AND (a.product = ANY(CAST(:without_parking AS text[])) OR {_OLDEST_PARKED_IS_COVERED})
 ORDER BY a.id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")


def lock_due_accounts(session: Session, *, limit: int) -> Sequence[int]:
    """Return the ids of up to `limit` accounts with a lead to release, locked."""
    figures = {
        "limit": limit,
        "now": clock.now(),
        "without_parking": text_array(products_without_parking()),
    }
    return session.scalars(_LOCK_DUE, figures).all()


_COVERED_LEADS = text(f"""
SELECT p.lead_id, p.account_id, p.ref, p.package_price_paise, p.credits, p.occurred_at, p.product,
       p.request_id
  FROM (SELECT l.*, a.ref, a.product, {availability.AVAILABLE} + c.coming AS available,
               sum(l.credits) OVER (PARTITION BY l.account_id
                                    ORDER BY l.parked_number, l.lead_id) AS total
          FROM lead_charges l JOIN accounts a ON a.id = l.account_id
          JOIN unnest(CAST(:accounts AS bigint[]), CAST(:coming AS bigint[])) AS c(id, coming)
            ON c.id = a.id
         WHERE l.state = 'parked') p
 WHERE p.total <= p.available OR p.product = ANY(CAST(:without_parking AS text[]))
 ORDER BY p.account_id, p.parked_number, p.lead_id LIMIT :limit
""")


def covered_leads(session: Session, coming: Mapping[int, int], *, limit: int) -> list[ParkedLead]:
    """Return the parked leads that their accounts can pay, each account's in their order.

    `coming`: account id -> credits that are about to be posted. The accounts must be locked.
    """
    rows = session.execute(
        _COVERED_LEADS,
        {
            "accounts": int_array(coming),
            "coming": int_array(coming.values()),
            "now": clock.now(),
            "limit": limit,
            "without_parking": text_array(products_without_parking()),
        },
    )
    return [ParkedLead(*row) for row in rows]
