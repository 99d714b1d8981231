"""`/notices/unsubscribe/<token>`: GET shows what will be stopped, POST stops it.

Mail programs POST `List-Unsubscribe=One-Click` (RFC 8058, 3.2), without a cookie and expecting no
redirect; the button of the page POSTs as well. Both may come again. `undo` in the form sends the
kind again.
"""

from flask import Blueprint, render_template, request
from sqlalchemy.orm import Session

from billing import audit
from billing.notices import UnknownContact, contacts, mail_links
from billing.notices.mail_facts import EVERY_KIND
from billing.notices.mail_links import UnsubscribeLink
from db.session import transaction
from service.signing import BadToken
from web.kit import message
from web.links.kinds import NAMES
from web.links.owner import owner_of

unsubscribing = Blueprint("unsubscribing", __name__, template_folder="templates")


@unsubscribing.get("/notices/unsubscribe/<token>")
def ask(token: str) -> str:
    """Show what a press of the button stops."""
    with transaction() as session:
        link = mail_links.read_unsubscribe(token)
        return _page(session, contacts.get(session, link.contact_id), link, just_done=False)


@unsubscribing.post("/notices/unsubscribe/<token>")
def stop(token: str) -> str:
    """Stop the kind, or send it again."""
    link = mail_links.read_unsubscribe(token)
    actor = f"contact:{link.contact_id}"
    with audit.asked_by(actor, door="web"), transaction() as session:
        if "undo" in request.form:
            contact = contacts.resubscribe(session, link.contact_id, kind=link.kind)
        else:
            contact = contacts.unsubscribe(session, link.contact_id, kind=link.kind)
        return _page(session, contact, link, just_done=True)


@unsubscribing.errorhandler(BadToken)
def unknown(_: BadToken) -> tuple[str, int]:
    """Answer a token that was cut or made up."""
    return message(
        "This link is not complete",
        "Nothing was changed. Some mail programs break a long link: open the mail again and follow"
        " the link from there, or copy the whole of it.",
        "If it is whole, it is no longer valid: the newest mail has a link that works.",
    ), 404


@unsubscribing.errorhandler(UnknownContact)
def gone(_: UnknownContact) -> str:
    """Answer for an address that was removed: what was asked for is so."""
    return message(
        "You get no more mails",
        "This address was taken off the list, and nothing is sent to it.",
    )


def _page(
    session: Session, contact: contacts.Contact, link: UnsubscribeLink, *, just_done: bool
) -> str:
    owner = owner_of(session, contact)
    is_stopped = link.kind in contact.unsubscribed
    titles = {
        (False, False): "Stop these mails?",
        (True, False): "These mails are stopped",
        (True, True): "These mails are stopped",
        (False, True): "These mails are sent again",
    }
    return render_template(
        "links/unsubscribe.html",
        title=titles[is_stopped, just_done],
        product=owner.product,
        owner=owner.name,
        address=contact.address,
        kind=NAMES[link.kind],
        is_every_kind=link.kind == EVERY_KIND,
        is_stopped=is_stopped,
        confirmed=contact.confirmed,
        asks=not just_done and not is_stopped,
        still_sent=[NAMES[kind] for kind in contacts.kinds_sent_to(contact) if kind != link.kind],
    )
