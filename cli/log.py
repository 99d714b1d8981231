"""`billing audit-log`: who changed what."""

import json

import click
from sqlalchemy import select

from cli.output import json_option, limit_option, page, print_records
from db.models import AuditEntry
from db.session import transaction


@click.command(name="audit-log")
@click.option("--subject", help="Only this, such as account:clinic:42 or inbox:17.")
@limit_option
@json_option
def audit_log(subject: str | None, limit: int | None, *, as_json: bool) -> None:
    """Show who changed what that is not itself a ledger row, newest first."""
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
                "before": entry.before if as_json else short(entry.before),
                "after": entry.after if as_json else short(entry.after),
            }
            for entry in session.scalars(query)
        ]
    print_records(records, as_json=as_json, empty="Nothing was changed.")


def short(fields: dict[str, object] | None) -> str | None:
    """Return the fields of an entry as a table shows them."""
    return json.dumps(fields, ensure_ascii=False) if fields is not None else None
