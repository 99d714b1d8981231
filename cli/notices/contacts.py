"""`billing notices contacts`: who is mailed about an account, or about what operators must know."""

import click
from sqlalchemy.orm import Session

from billing.notices import contacts as rules
from cli.actor import process_actor
from cli.options import ListView, View, actor_of_the_log_option, list_options, record_options
from cli.output import Columns, Record, print_list, print_record
from db.pages import Page, Wanted
from db.session import transaction


@click.group()
def contacts() -> None:
    """Say who is mailed: about an account, or about what operators must know.

    \b
    Examples:
      billing notices contacts add accounts@clinic.example --account clinic:42
      billing notices contacts add ops@shop.example --operators
    """


@contacts.command()
@click.argument("address")
@click.option("--account", help="The account that it is mailed about.")
@click.option("--operators", is_flag=True, help="It is an operator's.")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    help="What it wants, such as payment.captured or balance.*; may be repeated. By default *.",
)
@click.option(
    "--ask", is_flag=True, help="Have its reader confirm it by mail first; until then, receipts."
)
@actor_of_the_log_option
@record_options
def add(
    address: str,
    account: str | None,
    topics: tuple[str, ...],
    *,
    operators: bool,
    ask: bool,
    view: View,
) -> None:
    """Add ADDRESS to an account or to the operators.

    You vouch that it is theirs, unless you give --ask.
    """
    if (account is None) != operators:
        raise click.UsageError("give --account or --operators, whose address it is")
    with transaction() as session:
        added = rules.add(
            session,
            account=account,
            address=address,
            topics=topics or ("*",),
            actor=process_actor(),
            confirmed=not ask,
        )
    print_record(_record(added), view)


@contacts.command(name="list")
@click.option("--account", help="Only those of this account.")
@list_options
def list_(account: str | None, *, view: ListView) -> None:
    """List the contacts, those of operators among them."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        return rules.list_by_id(session, wanted, account=account).map(_record)

    empty = "No contacts: add one with `billing notices contacts add`."
    print_list(read, view, columns=_COLUMNS, empty=empty, account=account)


@contacts.command()
@click.argument("contact_id", type=click.IntRange(1))
@actor_of_the_log_option
@record_options
def confirm(contact_id: int, *, view: View) -> None:
    """Vouch that the address of CONTACT_ID is its account's, and send it all that it wants."""
    with transaction() as session:
        changed = rules.confirm(session, contact_id)
    print_record(_record(changed), view)


@contacts.command()
@click.argument("contact_id", type=click.IntRange(1))
@actor_of_the_log_option
@record_options
def resubscribe(contact_id: int, *, view: View) -> None:
    """Send CONTACT_ID again what its reader has stopped; only if they ask for it."""
    with transaction() as session:
        changed = rules.resubscribe(session, contact_id)
    print_record(_record(changed), view)


@contacts.command()
@click.argument("contact_id", type=click.IntRange(1))
@actor_of_the_log_option
@record_options
def remove(contact_id: int, *, view: View) -> None:
    """Remove CONTACT_ID and forget its address; what is due to it is not sent."""
    with transaction() as session:
        rules.remove(session, contact_id)
    print_record({"contact_id": contact_id, "removed": True}, view)


_COLUMNS = Columns(
    "contact_id account address topics confirmed", more="unsubscribed created_by created_at"
)


def _record(contact: rules.Contact) -> Record:
    return {
        "contact_id": contact.contact_id,
        "account": contact.account,
        "address": contact.address,
        "topics": list(contact.topics),
        "unsubscribed": list(contact.unsubscribed),
        "confirmed": contact.confirmed,
        "created_by": contact.created_by,
        "created_at": contact.created_at,
    }
