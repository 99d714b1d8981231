"""`billing migrate`."""

import click

import settings
from db.driver_errors import translated
from db.migrate import upgrade


@click.command()
def migrate() -> None:
    """Bring the database to the newest schema; safe to repeat.

    Works as the owner of the tables (DATABASE_OWNER_URL). If DATABASE_URL names another role, it
    is granted the rights that the processes need, and no more.
    """
    known = settings.get()
    with translated():
        upgrade(known.database_owner_url, application_url=known.database_url)
    click.echo("The schema is up to date.")
