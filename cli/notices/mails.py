"""`billing notices mails` and `send-test-mail`: what was mailed, and whether mail arrives."""

import click
from sqlalchemy.orm import Session

import clock
import settings
from billing.notices import mail_queries, mail_switch
from cli.options import ListView, View, record_options, timed_list_options
from cli.output import Columns, Record, print_list, print_record
from db.pages import Page, Wanted
from notify.mail import compose, send


@click.command()
@click.option("--account", help="Only those to contacts of this account.")
@click.option("--state", type=click.Choice(mail_queries.STATES), help="Only those in this state.")
@timed_list_options
def mails(account: str | None, state: str | None, *, view: ListView) -> None:
    """List the mails, the newest first, and why one was skipped or given up."""

    def read(session: Session, wanted: Wanted) -> Page[Record]:
        found = mail_queries.list_newest(session, wanted, account=account, state=state)
        return found.map(_record)

    print_list(read, view, columns=_COLUMNS, empty="No mails.", account=account)


@click.command(name="send-test-mail")
@click.argument("address")
@record_options
def send_test_mail(address: str, *, view: View) -> None:
    """Send a mail to ADDRESS at once, and say whether the mail server took it.

    It goes past the rows of due mails: nothing is tried again.
    """
    known = settings.get()
    if (off := mail_switch.off_because()) or known.smtp is None or known.sender is None:
        raise click.ClickException(off or mail_switch.OFF)
    mail = mail_switch.test_mail(address, now=clock.now())
    send(compose(mail, sender=known.sender), server=known.smtp)
    print_record(
        {
            "to": mail.to,
            "from": known.sender.address,
            "server": f"{known.smtp.host}:{known.smtp.port}",
            "message_id": mail.message_id,
            "state": "taken by the server",
        },
        view,
    )


_COLUMNS = Columns(
    "mail_id kind account contact_id state reason attempts created_at",
    more="notice_id next_attempt_at finished_at",
)


def _record(mail: mail_queries.Mail) -> Record:
    return {
        "mail_id": mail.mail_id,
        "kind": mail.kind,
        "account": mail.account,
        "contact_id": mail.contact_id,
        "notice_id": mail.notice_id and f"ntc_{mail.notice_id}",
        "state": mail.state,
        "reason": mail.reason,
        "attempts": mail.attempts,
        "created_at": mail.created_at,
        "next_attempt_at": mail.next_attempt_at,
        "finished_at": mail.finished_at,
    }
