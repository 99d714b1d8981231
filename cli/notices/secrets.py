"""`billing notices secrets`: what is done with the endpoints' secrets when WEB_SECRETS rotates."""

import click

import clock
from billing.notices import endpoints
from cli.options import View, actor_of_the_log_option, record_options
from cli.output import print_record
from db.session import transaction


@click.group()
def secrets() -> None:
    """Look after the encryption of the endpoints' secrets.

    \b
    Example:
      billing notices secrets re-encrypt
    """


@secrets.command(name="re-encrypt")
@actor_of_the_log_option
@record_options
def re_encrypt(*, view: View) -> None:
    """Encrypt the endpoints' secrets again, by the first of WEB_SECRETS.

    To rotate WEB_SECRETS: put a new secret in front, restart every process, run this command, and
    then take the old one away. The endpoints' own secrets stay the same: receivers notice nothing.
    """
    with transaction() as session:
        number = endpoints.reencrypt_secrets(session, now=clock.now())
    print_record({"re_encrypted": number}, view)
