"""`billing api-keys`: make, list and revoke the keys of the API."""

import click

from billing.access import keys
from cli.output import json_option, print_record, print_records
from db.session import transaction


@click.group(name="api-keys")
def api_keys() -> None:
    """Keys for the API, each for one product or one account."""


@api_keys.command()
@click.argument("name")
@click.option("--product", help="The key sees every account of this product.")
@click.option("--account", help="The key sees this account alone.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help=f"May be given again; without, all there are today: {', '.join(keys.SCOPES)}.",
)
@json_option
def create(
    name: str, product: str | None, account: str | None, scopes: tuple[str, ...], *, as_json: bool
) -> None:
    """Make key NAME and print it, this once: it is not kept, only its hash."""
    if (product is None) == (account is None):
        raise click.UsageError("say what the key is for: --product or --account")
    with transaction() as session:
        key = keys.create(session, name=name, product=product, account=account, scopes=scopes)
    print_record({"name": name, "key": key}, as_json=as_json)


@api_keys.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the keys made here; those of API_KEYS are in the environment alone."""
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
    print_records(records, as_json=as_json, empty="No keys yet: `billing api-keys create --help`")


@api_keys.command()
@click.argument("name")
@json_option
def revoke(name: str, *, as_json: bool) -> None:
    """Let key NAME open nothing any more, from the next request on."""
    with transaction() as session:
        key = keys.revoke(session, name)
        record = {"name": key.name, "revoked_at": key.revoked_at}
    print_record(record, as_json=as_json)
