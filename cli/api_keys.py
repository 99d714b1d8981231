"""`billing api-keys`: create, list and revoke the keys of the API."""

import click

from billing.access import keys
from cli.options import json_option
from cli.output import print_record, print_records
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
@json_option
def create(
    name: str, product: str | None, account: str | None, scopes: tuple[str, ...], *, as_json: bool
) -> None:
    """Create key NAME and print it, only this once.

    Only its hash is stored: nobody can read the key again.
    """
    if (product is None) == (account is None):
        raise click.UsageError("give --product or --account, which the key is for")
    with transaction() as session:
        key = keys.create(session, name=name, product=product, account=account, scopes=scopes)
    print_record({"name": name, "key": key}, as_json=as_json)


@api_keys.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the keys created here.

    The keys of API_KEYS are only in the environment.
    """
    with transaction() as session:
        records = [
            {
                "name": key.name,
                "product": key.product,
                "account": account,
                "scopes": key.scopes if as_json else ", ".join(key.scopes),
                "created_at": key.created_at,
                "revoked_at": key.revoked_at,
            }
            for key, account in keys.list_all(session)
        ]
    print_records(
        records, as_json=as_json, empty="No keys yet: create one with `billing api-keys create`."
    )


@api_keys.command()
@click.argument("name")
@json_option
def revoke(name: str, *, as_json: bool) -> None:
    """Revoke key NAME, from the next request on."""
    with transaction() as session:
        key = keys.revoke(session, name)
        record = {"name": key.name, "revoked_at": key.revoked_at}
    print_record(record, as_json=as_json)
