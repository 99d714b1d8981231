"""`billing migrate`."""

import click

import settings
from db.migrate import upgrade
from db.session import translated


@click.command()
def migrate() -> None:
    """Bring the database of DATABASE_OWNER_URL to the newest schema; safe to repeat."""
    with translated():
        upgrade(settings.get().database_owner_url)
    click.echo("The schema is up to date.")
