"""`billing notices`: what was sent to platforms and people, and where it goes.

One file for each group of commands; `COMMANDS` lists what `billing notices` offers.
"""

import click

from cli.notices import contacts, deliveries, endpoints, mails, replaying, secrets

COMMANDS: tuple[click.Command, ...] = (
    endpoints.endpoints,
    deliveries.list_,
    deliveries.show,
    replaying.replay,
    secrets.secrets,
    contacts.contacts,
    mails.mails,
    mails.send_test_mail,
)


@click.group()
def notices() -> None:
    """Send notices to platforms and people: endpoints, contacts, deliveries, replay.

    \b
    Examples:
      billing notices endpoints add https://shop.example/notices --product clinic_leads
      billing notices list --state dead
      billing notices replay --endpoint 3 --since 2d
    """


for command in COMMANDS:
    notices.add_command(command)
