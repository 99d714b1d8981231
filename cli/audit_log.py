"""`billing audit-log`: who changed what."""

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from cli.options import ListView, timed_list_options
from cli.output import Columns, Record, print_list
from db.models import AuditEntry
from db.pages import Page, Wanted, read_page


@click.command(name="audit-log")
@click.option("--subject", help="Only this subject, such as account:clinic:42 or inbox:17.")
@timed_list_options
def audit_log(subject: str | None, *, view: ListView) -> None:
    """Show who changed what, newest first.

    Movements of credit are in `billing history`, which names their actor.

    \b
    Example:
      billing audit-log --subject account:clinic:42
    """
    query = select(AuditEntry)
    if subject is not None:
        query = query.where(AuditEntry.subject == subject)

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return read_page(
            session, query, wanted, by=[AuditEntry.id], time=AuditEntry.created_at, scalars=True
        ).map(_entry)

    print_list(read, view, columns=_COLUMNS, empty="No changes.")


_COLUMNS = Columns("created_at actor action subject", more="id door before after request_id")


def _entry(entry: AuditEntry) -> Record:
    return {
        "id": entry.id,
        "created_at": entry.created_at,
        "actor": entry.actor,
        "door": entry.door,
        "action": entry.action,
        "subject": entry.subject,
        "before": entry.before,
        "after": entry.after,
        "request_id": entry.request_id,
    }
