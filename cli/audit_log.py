"""`billing audit-log`: who changed what."""

import click
from sqlalchemy import select

from cli.options import json_option, limit_option, page
from cli.output import inline_json, print_records
from db.models import AuditEntry
from db.session import transaction


@click.command(name="audit-log")
@click.option("--subject", help="Only this subject, such as account:clinic:42 or inbox:17.")
@limit_option
@json_option
def audit_log(subject: str | None, limit: int | None, *, as_json: bool) -> None:
    """Show who changed what, newest first.

    Movements of credit are in `billing history`, which names their actor.

    \b
    Example:
      billing audit-log --subject account:clinic:42
    """
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(page(limit, as_json=as_json))
    if subject is not None:
        query = query.where(AuditEntry.subject == subject)
    with transaction() as session:
        records = [
            {
                "id": entry.id,
                "created_at": entry.created_at,
                "actor": entry.actor,
                "door": entry.door,
                "action": entry.action,
                "subject": entry.subject,
                "before": entry.before if as_json else inline_json(entry.before),
                "after": entry.after if as_json else inline_json(entry.after),
            }
            for entry in session.scalars(query)
        ]
    print_records(records, as_json=as_json, empty="No changes.")
