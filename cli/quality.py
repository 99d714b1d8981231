"""`billing quality`: how much of the leads of accounts and of lead sources is disputed."""

import click

from billing.disputes import quality as scores
from cli.output import Record, json_option, limit_option, page, print_record, print_records
from db.models import QualityScore
from db.session import transaction
from errors import PermanentError

_KINDS = click.Choice(["account", "source"])


@click.group()
def quality() -> None:
    """How much of the leads of accounts and of lead sources is disputed."""


@quality.command(name="list")
@click.option("--kind", type=_KINDS, help="Only these.")
@click.option("--review", is_flag=True, help="Only accounts that a person should look at.")
@limit_option
@json_option
def list_(
    kind: scores.SubjectKind | None, limit: int | None, *, review: bool, as_json: bool
) -> None:
    """List the scores; without a grade where there are too few leads to tell."""
    with transaction() as session:
        found = scores.list_scores(
            session, kind=kind, review=review, limit=page(limit, as_json=as_json)
        )
    records = [_record(score) for score in found]
    print_records(records, as_json=as_json, empty="No such scores.")


@quality.command()
@click.argument("subject")
@click.option(
    "--kind", type=_KINDS, default="account", help="What SUBJECT is; an account if not said."
)
@json_option
def show(subject: str, kind: scores.SubjectKind, *, as_json: bool) -> None:
    """Show the score of account SUBJECT, or of the lead source of that name."""
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
