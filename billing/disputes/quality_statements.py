"""The SQL of quality scores: what counts, the grades, and the statements that compute them.

Used by `billing/disputes/quality.py`, which says what the rules mean. Parameters: `since`, `now`,
and the catalog's `[quality]`.
"""

from typing import Literal

from sqlalchemy import text

SubjectKind = Literal["account", "source"]

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
 WHERE l.state IN ('charged', 'refunded') AND l.created_at > :since {rest}"""


def _score_all(kind: SubjectKind, column: str) -> str:
    figures = _figures(kind, f"{column} AS subject,", f"AND {column} IS NOT NULL GROUP BY 1")
    return f"""
INSERT INTO quality_scores AS q
       (subject_kind, subject, leads, disputes, grade, needs_review, computed_at)
SELECT '{kind}', subject, leads, disputes, {_GRADED}, {_NEEDS_REVIEW[kind]}, :now
  FROM ({figures}) f ORDER BY subject
    ON CONFLICT (subject_kind, subject) DO UPDATE
   SET leads = excluded.leads, disputes = excluded.disputes, grade = excluded.grade,
       needs_review = excluded.needs_review, computed_at = excluded.computed_at"""


def _score_one(kind: SubjectKind, column: str) -> str:
    return f"""
UPDATE quality_scores q
   SET leads = f.leads, disputes = f.disputes, grade = f.grade, needs_review = f.needs_review,
       computed_at = :now
  FROM (SELECT leads, disputes, {_GRADED} AS grade, {_NEEDS_REVIEW[kind]} AS needs_review
          FROM ({_figures(kind, "", f"AND {column} = :key")}) n) f
 WHERE q.subject_kind = :kind AND q.subject = :subject"""


SCORE_ALL = (text(_score_all("account", "a.ref")), text(_score_all("source", "l.source")))
SCORE_ONE = {
    "account": text(_score_one("account", "l.account_id")),
    "source": text(_score_one("source", "l.source")),
}
LOCK_ALL = text("SELECT 1 FROM quality_scores ORDER BY subject_kind, subject FOR UPDATE")
LOCK_ONE = text("""
INSERT INTO quality_scores (subject_kind, subject, leads, disputes, needs_review, computed_at)
VALUES (:kind, :subject, 0, 0, false, :now)
    ON CONFLICT (subject_kind, subject) DO UPDATE SET computed_at = excluded.computed_at
""")
RESET_WITHOUT_LEADS = text("""
UPDATE quality_scores SET leads = 0, disputes = 0, grade = NULL, needs_review = false,
       computed_at = :now
 WHERE computed_at < :now
""")
FLAG_DIFFERS = text("""
SELECT a.id FROM accounts a
  JOIN quality_scores q ON q.subject_kind = 'account' AND q.subject = a.ref
 WHERE CASE WHEN q.needs_review THEN a.review_reason IS NULL
            ELSE a.review_reason = :reason END
 ORDER BY a.id
""")
