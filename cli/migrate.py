"""`billing migrate`."""

from collections.abc import Iterable
from dataclasses import asdict

import click

import settings
from cli.output import print_json
from db import roles
from db.driver_errors import translated
from db.migrate import MigrationReport, upgrade

RIGHTS_SHOWN = 10
"""Of a role; the first grant has more than a hundred, which nobody would read."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def migrate(*, as_json: bool) -> None:
    """Bring the database to the newest schema; safe to repeat.

    Works as the owner of the tables (DATABASE_OWNER_URL). Each other role that DATABASE_URL,
    DATABASE_DOORS_URL and DATABASE_RETENTION_URL name is granted the rights that its processes
    need, and no more, and is set to the time limits of its sessions.
    """
    with translated():
        report = upgrade(roles.addresses(settings.get()))
    if as_json:
        print_json(asdict(report))
        return
    for line in _lines(report):
        click.echo(line)


def _lines(report: MigrationReport) -> Iterable[str]:
    where = f"database {report.database}, schema {report.schema}"
    if report.applied:
        yield f"Migrated {where}, from {report.before or 'nothing'} to {report.after}:"
        for applied in report.applied:
            yield f"  {applied.revision}  {applied.title}"
    else:
        yield f"Nothing to migrate: {where} is at {report.after}."
    for done in report.rights:
        used_by = ", ".join(done.stands_for)
        for verb, changes in (("was given", done.added), ("was taken", done.taken)):
            count = f"{len(changes)} rights; --json lists them"
            for change in changes if len(changes) <= RIGHTS_SHOWN else (count,):
                yield f"Role {done.role} ({used_by}) {verb} {change}"
    for limits in report.limits:
        if limits.refused:
            yield f"The limits of role {limits.role} could not be set ({limits.refused}). Run:"
            yield from (f"  {statement};" for statement in limits.statements)
        elif limits.changed:
            yield f"Role {limits.role} was set to our time limits."
    yield "The schema is up to date."
