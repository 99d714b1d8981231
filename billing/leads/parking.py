"""Parked leads: released first in, first out as soon as credit covers them; or cancelled.

A parked lead is a row, and what is due follows from the rows alone: the accounts whose oldest
parked lead is covered by their credit. So a nudge may be lost, and any kind of credit will do: a
purchase, a refund, a hold that ended, a higher overdraft. Called by the release on beat, by the
payment area for credit that it posts, and by the commands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

import clock
from billing import audit
from billing.errors import InvalidReason
from billing.leads import lead_statements
from billing.leads.coverage import ParkedLead, covered_leads, lock_due_accounts
from billing.leads.errors import LeadNotParked, UnknownLead
from billing.ledger import Outcome, Posting, PostingResult, post
from billing.text import DESCRIPTION_MAX_LENGTH, problem_with
from billing.topics import Topic
from db import outbox
from db.bulk import int_array

RELEASE_ACTOR = "system:release"
BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class ReleasedLead:
    """A lead that was parked and is charged now."""

    lead_id: str
    account: str
    credits: int
    transaction_id: int | None = field(default=None, compare=False)
    balance: int | None = field(default=None, compare=False)
    """Credits of the account behind it."""
    request_id: str | None = field(default=None, compare=False)
    """Of the request that brought the lead."""


def release_due(session: Session, *, limit: int = BATCH_SIZE) -> list[ReleasedLead]:
    """Charge the parked leads that are covered, up to `limit`, each account's in their order.

    The sweep calls it until none is left. Posts.
    """
    accounts = lock_due_accounts(session, limit=limit)
    if not accounts:
        return []
    parked = covered_leads(session, dict.fromkeys(accounts, 0), limit=limit)
    posted = post(session, [lead.posting(RELEASE_ACTOR) for lead in parked])
    return _record_released(session, parked, posted)


def is_release_due(session: Session) -> bool:
    """Return whether a parked lead is covered by now."""
    return bool(lock_due_accounts(session, limit=1))


class ReleaseWithCredit:
    """The release of the parked leads that credit which is about to be posted will cover.

    For the area that posts that credit: `post` is called once a transaction, so it adds
    `postings()` behind the credit in the same call, and hands their results to `record`.
    """

    def __init__(self, session: Session, coming: Mapping[int, int]) -> None:
        """`coming`: account id -> credits. Locks the accounts, in the order of every post."""
        self._session = session
        self._parked: list[ParkedLead] = []
        if session.scalar(_ANY_PARKED, {"ids": int_array(coming)}):
            session.execute(_LOCK_ACCOUNTS, {"ids": int_array(coming)})
            self._parked = covered_leads(session, coming, limit=BATCH_SIZE)

    def postings(self) -> list[Posting]:
        """Return the charges, to be posted behind the credit."""
        return [lead.posting(RELEASE_ACTOR) for lead in self._parked]

    def record(self, results: Sequence[PostingResult]) -> list[ReleasedLead]:
        """Record the results of `postings()`, and return the leads that are charged now."""
        return _record_released(self._session, self._parked, results)


def release(session: Session, lead_id: str, *, actor: str) -> ReleasedLead:
    """Charge one parked lead now, before those that were parked earlier.

    Raises `UnknownLead`, `LeadNotParked` or `InsufficientCredit`. Posts.
    """
    lead = _lock_parked(session, lead_id)
    posted = post(session, [lead.posting(actor)])
    posted[0].applied_or_raise()
    return _record_released(session, [lead], posted)[0]


def cancel(session: Session, lead_id: str, *, reason: str) -> None:
    """Give up a parked lead: it will not be charged, whoever sends it again.

    Raises `UnknownLead`, `LeadNotParked` or `InvalidReason`.
    """
    problem = problem_with(reason, max_length=DESCRIPTION_MAX_LENGTH)
    if problem:
        raise InvalidReason(problem)
    lead = _lock_parked(session, lead_id)
    lead_statements.end_lead(
        session,
        lead_id,
        account=lead.account,
        before="parked",
        state="cancelled",
        now=clock.now(),
    )
    audit.record(
        session,
        "lead.cancelled",
        f"lead:{lead_id}",
        before={"state": "parked"},
        after={"state": "cancelled", "reason": reason},
    )


_ONE = text("""
SELECT l.lead_id, l.account_id, a.ref, l.package_price_paise, l.credits, l.occurred_at, a.product,
       l.request_id
  FROM lead_charges l JOIN accounts a ON a.id = l.account_id WHERE l.lead_id = :lead_id
""")
_ANY_PARKED = text("""
SELECT EXISTS (SELECT FROM lead_charges WHERE state = 'parked'
                  AND account_id = ANY(CAST(:ids AS bigint[])))
""")
_LOCK_ACCOUNTS = text("""
SELECT 1 FROM accounts WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
""")


def _lock_parked(session: Session, lead_id: str) -> ParkedLead:
    found = session.execute(_ONE, {"lead_id": lead_id}).one_or_none()
    if found is None:
        raise UnknownLead(lead_id)
    session.execute(_LOCK_ACCOUNTS, {"ids": int_array([found.account_id])})
    state = lead_statements.recorded_leads(session, [lead_id])[lead_id].state
    if state != "parked":
        raise LeadNotParked(lead_id, state)
    return ParkedLead(*found)


def _record_released(
    session: Session, parked: Sequence[ParkedLead], posted: Sequence[PostingResult]
) -> list[ReleasedLead]:
    charged = [
        (lead, result)
        for lead, result in zip(parked, posted, strict=True)
        if result.outcome is not Outcome.REFUSED
    ]
    if not charged:
        return []
    now = clock.now()
    transactions = {lead.lead_id: result.transaction_id for lead, result in charged}
    lead_statements.mark_charged(session, transactions, now=now)
    notices = [
        lead_statements.notice(
            Topic.LEAD_RELEASED, lead.lead_id, lead.account_id, lead.account, lead.credits,
            lead.request_id,
        )
        for lead, _ in charged
    ]  # fmt: skip
    outbox.write(session, notices, now=now)
    return [
        ReleasedLead(
            lead.lead_id, lead.account, lead.credits, result.transaction_id, result.balance_after,
            lead.request_id,
        )
        for lead, result in charged
    ]  # fmt: skip
