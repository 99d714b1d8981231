"""Quality scores: how many of the leads of an account, and of a source, are disputed.

Computed on beat for all (`tasks/disputes/door.py`) and with each resolution for the account and the
source that it touches (`billing/disputes/lifecycle.py`). Over the catalog's window, by when a lead
came, and over leads that were charged, refunded since or not; a lead counts once however often it
was disputed. A lead without a source counts for its account alone.

What counts as disputed differs on purpose. Of an account, every dispute that it did not withdraw:
the score tells how it disputes, and one that disputes everything is seen even where each dispute
is rejected. Of a source, not the rejected ones: its score tells how its leads are, and a rejected
dispute says that the lead was good. Pending ones count for both: a bad source must not look good
until somebody has had time to decide.

Nothing here refuses anything: an account that disputes nearly everything is put up for review.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.accounts import review as account_review
from db.models import Account, QualityScore

SubjectKind = Literal["account", "source"]

SCORED_EVERY = timedelta(hours=1)


def rescore(session: Session, account: Account, *, source: str | None) -> None:
    """Compute the scores of one account, and of one source where there is one, and flag it.

    The account must be locked.
    """
    _score_one(session, "account", account.ref, account.id)
    if source is not None:
        _score_one(session, "source", source, source)
    flag(session, account.id)


def is_due(session: Session) -> bool:
    """Tell whether all scores were computed longer than an hour ago, or never."""
    last = session.scalar(select(func.min(QualityScore.computed_at)))
    return last is None or last <= clock.now() - SCORED_EVERY


def rescore_all(session: Session) -> None:
    """Compute every score; a subject without leads in the window has a score of nought leads."""
    # In the order in which a resolution takes them, and before the figures are read: what a
    # resolution changes meanwhile is in them.
    session.execute(_LOCK_ALL)
    figures = _parameters()
    for statement in _ALL:
        session.execute(statement, figures)
    session.execute(_NO_LEADS, figures)


def to_be_flagged(session: Session) -> Sequence[int]:
    """Return the ids of the accounts whose flag and score disagree, in their order."""
    return session.scalars(_DISAGREE, {"reason": account_review.DISPUTES_MOST_LEADS}).all()


def flag(session: Session, account_id: int) -> bool:
    """Put an account up for review, or take it off, as its score says; tell whether it changed.

    Told once; another reason for a review stays as it is.
    """
    account = account_review.lock(session, account_id)  # before the score is read
    score = find(session, account.ref, kind="account")
    if score is None or not score.needs_review:
        return account_review.clear(session, account_id, account_review.DISPUTES_MOST_LEADS)
    return account_review.flag(
        session, account_id, account_review.DISPUTES_MOST_LEADS,
        more={"leads": score.leads, "disputes": score.disputes},
    )  # fmt: skip


def find(session: Session, subject: str, *, kind: SubjectKind) -> QualityScore | None:
    """Return the score of an account (its reference) or of a source, as it was last computed."""
    return session.scalars(
        select(QualityScore)
        .where(QualityScore.subject_kind == kind, QualityScore.subject == subject)
        .execution_options(populate_existing=True)
    ).one_or_none()


def all_scores(
    session: Session, *, kind: SubjectKind | None = None, review: bool = False, limit: int
) -> Sequence[QualityScore]:
    """Return the scores with leads in the window, by subject; with `review`, the flagged alone."""
    query = select(QualityScore).where(QualityScore.leads > 0)
    if kind is not None:
        query = query.where(QualityScore.subject_kind == kind)
    if review:
        query = query.where(QualityScore.needs_review)
    query = query.order_by(QualityScore.subject_kind, QualityScore.subject)
    return session.scalars(query.limit(limit)).all()


def rate_percent(score: QualityScore) -> str | None:
    """Return the share of disputed leads, to one decimal, half up; None: there are no leads."""
    if not score.leads:
        return None
    share = Decimal(100 * score.disputes) / score.leads
    return str(share.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP))


def _parameters() -> dict[str, object]:
    rules, now = catalog.get().quality, clock.now()
    return {
        "now": now,
        "since": since(now),
        "min_leads": rules.min_leads,
        "good_below": rules.good_below_percent,
        "poor_from": rules.poor_from_percent,
        "review_from": rules.review_from_percent,
    }


def since(now: datetime) -> datetime:
    """Return where the window begins; a lead that came at that very moment is outside."""
    return now - timedelta(days=catalog.get().quality.window_days)


def _score_one(session: Session, kind: SubjectKind, subject: str, key: object) -> None:
    figures = {**_parameters(), "kind": kind, "subject": subject, "key": key}
    # Locked, or made, before the figures are read: two resolutions at once count each other.
    session.execute(_LOCK_ONE, figures)
    session.execute(_ONE[kind], figures)


_COUNTS: dict[SubjectKind, str] = {
    "account": "('pending', 'approved', 'partially_approved', 'rejected')",
    "source": "('pending', 'approved', 'partially_approved')",
}
"""Kind of subject -> the states of the disputes that count."""
_GRADED = """
CASE WHEN leads < :min_leads THEN NULL
     WHEN 100 * disputes < :good_below * leads THEN 'good'
     WHEN 100 * disputes >= :poor_from * leads THEN 'poor' ELSE 'average' END"""
_NEEDS_REVIEW: dict[SubjectKind, str] = {
    "account": "leads >= :min_leads AND 100 * disputes >= :review_from * leads",
    "source": "false",
}


def _figures(kind: SubjectKind, columns: str, rest: str) -> str:
    return f"""
SELECT {columns} count(*) AS leads, count(d.lead_id) AS disputes
  FROM lead_charges l JOIN accounts a ON a.id = l.account_id
  LEFT JOIN (SELECT DISTINCT lead_id FROM lead_disputes WHERE state IN {_COUNTS[kind]}) d
    ON d.lead_id = l.lead_id
 WHERE l.state IN ('charged', 'refunded') AND l.created_at > :since {rest}"""  # noqa: S608


def _all(kind: SubjectKind, column: str) -> str:
    figures = _figures(kind, f"{column} AS subject,", f"AND {column} IS NOT NULL GROUP BY 1")
    return f"""
INSERT INTO quality_scores AS q
       (subject_kind, subject, leads, disputes, grade, needs_review, computed_at)
SELECT '{kind}', subject, leads, disputes, {_GRADED}, {_NEEDS_REVIEW[kind]}, :now
  FROM ({figures}) f ORDER BY subject
    ON CONFLICT (subject_kind, subject) DO UPDATE
   SET leads = excluded.leads, disputes = excluded.disputes, grade = excluded.grade,
       needs_review = excluded.needs_review, computed_at = excluded.computed_at"""  # noqa: S608


def _one(kind: SubjectKind, column: str) -> str:
    return f"""
UPDATE quality_scores q
   SET leads = f.leads, disputes = f.disputes, grade = f.grade, needs_review = f.needs_review,
       computed_at = :now
  FROM (SELECT leads, disputes, {_GRADED} AS grade, {_NEEDS_REVIEW[kind]} AS needs_review
          FROM ({_figures(kind, "", f"AND {column} = :key")}) n) f
 WHERE q.subject_kind = :kind AND q.subject = :subject"""  # noqa: S608


_ALL = (text(_all("account", "a.ref")), text(_all("source", "l.source")))
_ONE = {
    "account": text(_one("account", "l.account_id")),
    "source": text(_one("source", "l.source")),
}
_LOCK_ALL = text("SELECT 1 FROM quality_scores ORDER BY subject_kind, subject FOR UPDATE")
_LOCK_ONE = text("""
INSERT INTO quality_scores (subject_kind, subject, leads, disputes, needs_review, computed_at)
VALUES (:kind, :subject, 0, 0, false, :now)
    ON CONFLICT (subject_kind, subject) DO UPDATE SET computed_at = excluded.computed_at
""")
_NO_LEADS = text("""
UPDATE quality_scores SET leads = 0, disputes = 0, grade = NULL, needs_review = false,
       computed_at = :now
 WHERE computed_at < :now
""")
_DISAGREE = text("""
SELECT a.id FROM accounts a
  JOIN quality_scores q ON q.subject_kind = 'account' AND q.subject = a.ref
 WHERE CASE WHEN q.needs_review THEN a.review_reason IS NULL
            ELSE a.review_reason = :reason END
 ORDER BY a.id
""")
