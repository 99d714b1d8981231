"""Parked leads: released first in, first out as soon as credit covers them; or cancelled.

A parked lead is a row, and what there is to do follows from the rows alone: whose oldest parked
lead is covered by what is available. So a nudge may be lost, and any kind of credit will do: a
purchase, a refund, a hold that ended, a higher overdraft.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.errors import InvalidReason
from billing.leads import charging as leads
from billing.leads import lead_rows
from billing.leads.errors import LeadNotParked, UnknownLead
from billing.ledger import Outcome, Posting, PostingResult, availability, post
from billing.text import DESCRIPTION_MAX_LENGTH, problem_with
from db import outbox
from db.bulk import int_array, text_array

ACTOR = "system:release"
BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class Released:
    """A lead that was parked and is charged now."""

    lead_id: str
    account: str
    credits: int


@dataclass(frozen=True, slots=True)
class _Parked:
    lead_id: str
    account_id: int
    account: str
    package_price_paise: int
    credits: int
    occurred_at: datetime
    product: str

    def posting(self, actor: str) -> Posting:
        """Return the charge; past the overdraft limit where its product never parks by now."""
        # At the price of the day it was parked, whatever the catalog says by now.
        return leads.posting(
            lead_id=self.lead_id,
            account=self.account,
            package_price_paise=self.package_price_paise,
            price=self.credits,
            occurred_at=self.occurred_at,
            actor=actor,
            passes_overdraft_limit=self.product in leads.never_parking_products(),
        )


# Locked here, so that what is covered stays covered until it is posted; an account that somebody
# else has locked is left for the next turn.
_DUE = text(f"""
SELECT a.id FROM accounts a
 WHERE a.id IN (SELECT account_id FROM lead_charges WHERE state = 'parked')
   AND (a.product = ANY(CAST(:never_parking AS text[])) OR {lead_rows.PARKED_IS_COVERED})
 ORDER BY a.id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")  # noqa: S608 - put together from our own text
_COVERED = text(f"""
SELECT p.lead_id, p.account_id, p.ref, p.package_price_paise, p.credits, p.occurred_at, p.product
  FROM (SELECT l.*, a.ref, a.product, {availability.AVAILABLE} + c.coming AS available,
               sum(l.credits) OVER (PARTITION BY l.account_id
                                    ORDER BY l.parked_number, l.lead_id) AS total
          FROM lead_charges l JOIN accounts a ON a.id = l.account_id
          JOIN unnest(CAST(:accounts AS bigint[]), CAST(:coming AS bigint[])) AS c(id, coming)
            ON c.id = a.id
         WHERE l.state = 'parked') p
 WHERE p.total <= p.available OR p.product = ANY(CAST(:never_parking AS text[]))
 ORDER BY p.account_id, p.parked_number, p.lead_id LIMIT :limit
""")  # noqa: S608 - put together from our own text
_ONE = text("""
SELECT l.lead_id, l.account_id, a.ref, l.package_price_paise, l.credits, l.occurred_at, a.product
  FROM lead_charges l JOIN accounts a ON a.id = l.account_id WHERE l.lead_id = :lead_id
""")
_LOCK = text("SELECT 1 FROM accounts WHERE id = :id FOR NO KEY UPDATE")
_ANY_PARKED = text("""
SELECT EXISTS (SELECT FROM lead_charges WHERE state = 'parked'
                  AND account_id = ANY(CAST(:ids AS bigint[])))
""")
_LOCK_ALL = text("""
SELECT 1 FROM accounts WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
""")


def release_due(session: Session, *, limit: int = BATCH_SIZE) -> list[Released]:
    """Charge the parked leads that are covered, up to `limit`, each account's in their order.

    Called by the sweep until none is left. Posts.
    """
    accounts = _due(session, limit)
    if not accounts:
        return []
    found = _covered(session, dict.fromkeys(accounts, 0), limit)
    posted = post(session, [parked.posting(ACTOR) for parked in found])
    return _charged(session, found, posted)


class Waiting:
    """The parked leads that credit which is about to be posted will cover.

    For who posts that credit: it posts their charges behind it in the same call, and says so.
    """

    def __init__(self, session: Session, coming: Mapping[int, int]) -> None:
        """`coming`: account id -> credits. Locks the accounts, in the order of every post."""
        self._session = session
        self._found: list[_Parked] = []
        if session.scalar(_ANY_PARKED, {"ids": int_array(coming)}):
            session.execute(_LOCK_ALL, {"ids": int_array(coming)})
            self._found = _covered(session, coming, BATCH_SIZE)

    def postings(self) -> list[Posting]:
        """Return the charges, to be posted behind the credit."""
        return [parked.posting(ACTOR) for parked in self._found]

    def posted(self, results: Sequence[PostingResult]) -> list[Released]:
        """Take note of what became of `postings()`, and return the leads that are charged now."""
        return _charged(self._session, self._found, results)


def release(session: Session, lead_id: str, *, actor: str) -> Released:
    """Charge one parked lead now, before those that were parked earlier.

    Raises `UnknownLead`, `LeadNotParked` or `InsufficientCredit`. Posts.
    """
    parked = _lock_parked(session, lead_id)
    posted = post(session, [parked.posting(actor)])
    posted[0].applied_or_raise()
    return _charged(session, [parked], posted)[0]


def is_due(session: Session) -> bool:
    """Tell whether a parked lead is covered by now."""
    return bool(_due(session, 1))


def _covered(session: Session, coming: Mapping[int, int], limit: int) -> list[_Parked]:
    rows = session.execute(
        _COVERED,
        {
            "accounts": int_array(coming),
            "coming": int_array(coming.values()),
            "now": clock.now(),
            "limit": limit,
            "never_parking": text_array(leads.never_parking_products()),
        },
    )
    return [_Parked(*row) for row in rows]


def _due(session: Session, limit: int) -> Sequence[int]:
    never_parking = text_array(leads.never_parking_products())
    return session.scalars(
        _DUE, {"limit": limit, "now": clock.now(), "never_parking": never_parking}
    ).all()


def cancel(session: Session, lead_id: str, *, reason: str) -> None:
    """Give up a parked lead: it will not be charged, whoever sends it again.

    Raises `UnknownLead`, `LeadNotParked` or `InvalidReason`.
    """
    problem = problem_with(reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    parked = _lock_parked(session, lead_id)
    lead_rows.ended(
        session, lead_id, account=parked.account, before="parked", state="cancelled",
        now=clock.now(),
    )  # fmt: skip
    audit.record(
        session,
        "lead.cancelled",
        f"lead:{lead_id}",
        before={"state": "parked"},
        after={"state": "cancelled", "reason": reason},
    )


def _lock_parked(session: Session, lead_id: str) -> _Parked:
    found = session.execute(_ONE, {"lead_id": lead_id}).one_or_none()
    if found is None:
        raise UnknownLead(lead_id)
    session.execute(_LOCK, {"id": found.account_id})
    state = lead_rows.recorded(session, [lead_id])[lead_id].state
    if state != "parked":
        raise LeadNotParked(lead_id, state)
    return _Parked(*found)


def _charged(
    session: Session, found: Sequence[_Parked], posted: Sequence[PostingResult]
) -> list[Released]:
    done = [
        (parked, result.transaction_id)
        for parked, result in zip(found, posted, strict=True)
        if result.outcome is not Outcome.REFUSED
    ]
    if not done:
        return []
    now = clock.now()
    lead_rows.charged(session, {parked.lead_id: id_ for parked, id_ in done}, now=now)
    outbox.write(
        session,
        [
            lead_rows.notice("released", p.lead_id, p.account_id, p.account, p.credits)
            for p, _ in done
        ],
        now=now,
    )
    return [Released(p.lead_id, p.account, p.credits) for p, _ in done]
