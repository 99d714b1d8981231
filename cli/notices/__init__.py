"""`billing notices`: what was sent to platforms and people, and where it goes.

One file for each group of commands; `COMMANDS` lists what `billing notices` offers.
"""

import click

from cli.notices import contacts, mails

COMMANDS: tuple[click.Command, ...] = (
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
    """


for command in COMMANDS:
    notices.add_command(command)
