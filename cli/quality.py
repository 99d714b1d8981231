"""`billing quality`: scores of how many leads of accounts and lead sources are disputed."""

import click

from billing.disputes import quality as scores
from cli.options import json_option, limit_option, page
from cli.output import Record, print_record, print_records
from db.models import QualityScore
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
@limit_option
@json_option
def list_(
    kind: scores.SubjectKind | None, limit: int | None, *, review: bool, as_json: bool
) -> None:
    """List scores; with too few leads there is no grade."""
    with transaction() as session:
        found = scores.list_scores(
            session, kind=kind, review=review, limit=page(limit, as_json=as_json)
        )
    records = [_record(score) for score in found]
    print_records(records, as_json=as_json, empty="No scores match.")


@quality.command()
@click.argument("subject")
@click.option(
    "--kind", type=_KINDS, default="account", help="What SUBJECT is; by default an account."
)
@json_option
def show(subject: str, kind: scores.SubjectKind, *, as_json: bool) -> None:
    """Show the score of SUBJECT, an account or a lead source."""
    with transaction() as session:
        score = scores.find(session, subject, kind=kind)
    if score is None:
        raise PermanentError(
            f"there is no score of {kind} {subject!r} yet: they are computed once an hour"
        )
    print_record(_record(score), as_json=as_json)


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
