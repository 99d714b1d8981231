"""Quality scores: how many of the leads of an account, and of a source, are disputed.

Computed on beat for all (`tasks/disputes/door.py`), and with each resolution for its account and
its source (`billing/disputes/resolution.py`). A score covers the leads that came in the catalog's
window and were charged, refunded since or not. A lead counts once, however often it was disputed;
a lead without a source counts for its account alone.

What counts as disputed differs on purpose. For an account it is every dispute that was not
withdrawn: the score shows how the account disputes, and an account that disputes everything is
seen even if each dispute is rejected. For a source, rejected disputes do not count: the score shows
how good its leads are, and a rejection says that the lead was good. Pending disputes count for
both: a bad source must not look good until somebody decides.

No score refuses anything: an account that disputes nearly everything is put up for review.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import clock
from billing import catalog
from billing.accounts import review as reviews
from billing.disputes import quality_statements as statements
from db.models import Account, QualityScore
from db.pages import Page, Wanted, read_page

SubjectKind = statements.SubjectKind
SCORED_EVERY = timedelta(hours=1)


def rescore(session: Session, account: Account, *, source: str | None) -> None:
    """Compute the scores of one account and of `source`, if any, and update the account's flag.

    The account must be locked.
    """
    _score_one(session, "account", account.ref, account.id)
    if source is not None:
        _score_one(session, "source", source, source)
    update_flag(session, account.id)


def is_rescore_due(session: Session) -> bool:
    """Return whether all scores were computed longer than an hour ago, or never."""
    last = session.scalar(select(func.min(QualityScore.computed_at)))
    return last is None or last <= clock.now() - SCORED_EVERY


def rescore_all(session: Session) -> None:
    """Compute every score; a subject without leads in the window has a score of zero leads."""
    # Locked in the order in which a resolution locks them, and before the figures are read: they
    # hold what a resolution changed meanwhile.
    session.execute(statements.LOCK_ALL)
    figures = _parameters()
    for statement in statements.SCORE_ALL:
        session.execute(statement, figures)
    session.execute(statements.RESET_WITHOUT_LEADS, figures)


def accounts_to_flag(session: Session) -> Sequence[int]:
    """Return the ids of the accounts whose flag does not match their score, in their order."""
    return session.scalars(statements.FLAG_DIFFERS, {"reason": reviews.DISPUTES_MOST_LEADS}).all()


def update_flag(session: Session, account_id: int) -> bool:
    """Flag an account for review, or clear the flag, as its score says; return whether it changed.

    The notice is written once; a review for another reason stays as it is.
    """
    account = reviews.lock(session, account_id)  # before the score is read
    score = find(session, account.ref, kind="account")
    if score is None or not score.needs_review:
        return reviews.clear(session, account_id, reviews.DISPUTES_MOST_LEADS)
    return reviews.flag(
        session, account_id, reviews.DISPUTES_MOST_LEADS,
        more={"leads": score.leads, "disputes": score.disputes},
    )  # fmt: skip


def find(session: Session, subject: str, *, kind: SubjectKind) -> QualityScore | None:
    """Return the score of an account (its reference) or of a source, as it was last computed."""
    return session.scalars(
        select(QualityScore)
        .where(QualityScore.subject_kind == kind, QualityScore.subject == subject)
        .execution_options(populate_existing=True)
    ).one_or_none()


def list_scores(
    session: Session, wanted: Wanted, *, kind: SubjectKind | None = None, review: bool = False
) -> Page[QualityScore]:
    """Return the scores with leads in the window, by subject; `review`: only those to review."""
    query = select(QualityScore).where(QualityScore.leads > 0)
    if kind is not None:
        query = query.where(QualityScore.subject_kind == kind)
    if review:
        query = query.where(QualityScore.needs_review)
    return read_page(
        session,
        query,
        wanted,
        by=[QualityScore.subject_kind, QualityScore.subject],
        descending=False,
        scalars=True,
    )


def rate_percent(score: QualityScore) -> str | None:
    """Return the share of disputed leads, to one decimal, half up; None: no leads."""
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
    """Return the start of the window; a lead that came at that very moment is outside."""
    return now - timedelta(days=catalog.get().quality.window_days)


def _score_one(session: Session, kind: SubjectKind, subject: str, key: object) -> None:
    figures = {**_parameters(), "kind": kind, "subject": subject, "key": key}
    # Locked, or made, before the figures are read: two resolutions at once count each other.
    session.execute(statements.LOCK_ONE, figures)
    session.execute(statements.SCORE_ONE[kind], figures)
