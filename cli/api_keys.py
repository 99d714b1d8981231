"""`billing api-keys`: create, list and revoke the keys of the API."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.orm import Session

from billing.access import keys
from cli.options import ListView, View, actor_of_the_log_option, list_options, record_options
from cli.output import Columns, Record, print_list, print_record
from db.errors import RightMissing
from db.models import ApiKey
from db.pages import Page, Wanted
from db.roles import Role
from db.session import transaction


@click.group(name="api-keys")
def api_keys() -> None:
    """Create, list and revoke keys for the API.

    \b
    Example:
      billing api-keys create clinic-portal --product clinic_leads
    """


@api_keys.command()
@click.argument("name")
@click.option("--product", help="The key sees every account of this product.")
@click.option("--account", help="The key sees only this account.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help=f"May be repeated: {', '.join(keys.SCOPES)}. By default all of them except"
    f" {', '.join(sorted(keys.ONLY_BY_NAME))}.",
)
@actor_of_the_log_option
@record_options
def create(
    name: str, product: str | None, account: str | None, scopes: tuple[str, ...], *, view: View
) -> None:
    """Create key NAME and print it, only this once.

    Only its hash is stored: nobody can read the key again.
    """
    if (product is None) == (account is None):
        raise click.UsageError("give --product or --account, which the key is for")
    with _as_owner() as session:
        key = keys.create(session, name=name, product=product, account=account, scopes=scopes)
    print_record({"name": name, "key": key}, view)


@api_keys.command(name="list")
@list_options
def list_(*, view: ListView) -> None:
    """List the keys created here.

    The keys of API_KEYS are only in the environment.
    """

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return keys.list_by_name(session, wanted).map(lambda row: _key(*row))

    empty = "No keys yet: create one with `billing api-keys create`."
    print_list(read, view, columns=_COLUMNS, empty=empty)


_COLUMNS = Columns("name product account created_at", more="scopes revoked_at")


def _key(key: ApiKey, account: str | None) -> Record:
    return {
        "name": key.name,
        "product": key.product,
        "account": account,
        "scopes": key.scopes,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }


@api_keys.command()
@click.argument("name")
@actor_of_the_log_option
@record_options
def revoke(name: str, *, view: View) -> None:
    """Revoke key NAME, from the next request on."""
    with _as_owner() as session:
        key = keys.revoke(session, name)
        record = {"name": key.name, "revoked_at": key.revoked_at}
    print_record(record, view)


@contextmanager
def _as_owner() -> Iterator[Session]:
    """Open a transaction as the owner of the tables: no process can make or widen a key."""
    try:
        with transaction(Role.OWNER) as session:
            yield session
    except RightMissing as error:
        raise click.ClickException(
            "API keys are made and revoked by the owner of the tables: set DATABASE_OWNER_URL"
        ) from error
