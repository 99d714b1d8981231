"""`billing quality`: scores of how many leads of accounts and lead sources are disputed."""

import click
from sqlalchemy.orm import Session

from billing.disputes import quality as scores
from cli.options import ListView, View, list_options, record_options
from cli.output import Columns, Record, print_list, print_record
from db.models import QualityScore
from db.pages import Page, Wanted
from db.session import transaction
from errors import PermanentError

_KINDS = click.Choice(["account", "source"])


@click.group()
def quality() -> None:
    """Show how many leads of accounts and sources are disputed.

    \b
    Example:
      billing quality list --review
    """


@quality.command(name="list")
@click.option("--kind", type=_KINDS, help="Only this kind of subject.")
@click.option("--review", is_flag=True, help="Only accounts that a person should review.")
@list_options
def list_(kind: scores.SubjectKind | None, *, review: bool, view: ListView) -> None:
    """List scores; with too few leads there is no grade."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return scores.list_scores(session, wanted, kind=kind, review=review).map(_record)

    print_list(read, view, columns=_COLUMNS, empty="No scores match.")


_COLUMNS = Columns(
    "kind subject leads disputes rate_percent grade", more="needs_review computed_at"
)


@quality.command()
@click.argument("subject")
@click.option(
    "--kind", type=_KINDS, default="account", help="What SUBJECT is; by default an account."
)
@record_options
def show(subject: str, kind: scores.SubjectKind, *, view: View) -> None:
    """Show the score of SUBJECT, an account or a lead source."""
    with transaction() as session:
        score = scores.find(session, subject, kind=kind)
    if score is None:
        raise PermanentError(
            f"there is no score of {kind} {subject!r} yet: they are computed once an hour"
        )
    print_record(_record(score), view)


def _record(score: QualityScore) -> Record:
    return {
        "kind": score.subject_kind,
        "subject": score.subject,
        "leads": score.leads,
        "disputes": score.disputes,
        "rate_percent": scores.rate_percent(score),
        "grade": score.grade,
        "needs_review": score.needs_review,
        "computed_at": score.computed_at,
    }
