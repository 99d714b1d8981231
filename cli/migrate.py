"""`billing migrate`."""

import click

import settings
from db.driver_errors import translated
from db.migrate import upgrade


@click.command()
def migrate() -> None:
    """Bring the database of DATABASE_OWNER_URL to the newest schema; safe to repeat.

    The role of DATABASE_URL, where it is another one, gets the rights it needs and no more.
    """
    known = settings.get()
    with translated():
        upgrade(known.database_owner_url, application_url=known.database_url)
    click.echo("The schema is up to date.")
