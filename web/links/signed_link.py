"""`/l/<token>`: a link in a mail that confirms an address, or shows what a renewal costs.

A scanner of mail follows links: GET shows, and only POST confirms. To pay, the page leads on to the
product's own (`billing_url` in the catalog): money is taken where the customer is signed in.
"""

from flask import Blueprint, abort, render_template
from sqlalchemy.orm import Session

from billing import audit
from billing.money import rupees
from billing.notices import UnknownContact, contacts, mail_links, renewal_offers
from billing.notices.mail_links import ConfirmLink, LinkOutOfUse, PayLink
from db.session import transaction
from service.signing import BadToken
from web.kit import message
from web.links.owner import owner_of

signed_links = Blueprint("signed_links", __name__, template_folder="templates")


@signed_links.get("/l/<token>")
def show(token: str) -> str:
    """Show what the link is for."""
    link = mail_links.read_link(token)
    with transaction() as session:
        if isinstance(link, PayLink):
            return _renewal(session, link)
        return _confirmation(session, contacts.get(session, link.contact_id))


@signed_links.post("/l/<token>")
def act(token: str) -> str:
    """Confirm the address; a link to pay has nothing to be done here."""
    link = mail_links.read_link(token)
    if not isinstance(link, ConfirmLink):
        abort(405, valid_methods=["GET", "HEAD", "OPTIONS"])
    actor = f"contact:{link.contact_id}"
    with audit.asked_by(actor, door="web"), transaction() as session:
        return _confirmation(session, contacts.confirm(session, link.contact_id))


@signed_links.errorhandler(BadToken)
def unknown(_: BadToken) -> tuple[str, int]:
    """Answer a token that was cut or made up."""
    return message(
        "This link is not complete",
        "Some mail programs break a long link: open the mail again and follow the link from there,"
        " or copy the whole of it.",
        "If it is whole, it is no longer valid: the newest mail has a link that works.",
    ), 404


@signed_links.errorhandler(LinkOutOfUse)
def out_of_use(error: LinkOutOfUse) -> tuple[str, int]:
    """Answer a link that was signed too long ago."""
    if isinstance(error.link, ConfirmLink):
        days = mail_links.CONFIRM_WITHIN.days
        advice = (
            f"A link to confirm an address is good for {days} days. If you still want the mails,"
            " ask whoever runs the account to remove this address and to add it anew."
        )
    else:
        advice = (
            f"A link to a renewal is good for {mail_links.PAY_WITHIN.days} days. The newest"
            " reminder has a newer one; you can also sign in and renew there."
        )
    return message("This link is too old", advice), 410


@signed_links.errorhandler(UnknownContact)
def gone(_: UnknownContact) -> tuple[str, int]:
    """Answer for an address that was removed since."""
    return message(
        "This address was taken off the list",
        "Nothing is sent to it. If you want the mails, ask whoever runs the account to add it"
        " anew.",
    ), 410


def _confirmation(session: Session, contact: contacts.Contact) -> str:
    owner = owner_of(session, contact)
    return render_template(
        "links/confirm.html",
        title="This address is confirmed" if contact.confirmed else "Confirm your address",
        product=owner.product,
        owner=owner.name,
        address=contact.address,
        confirmed=contact.confirmed,
    )


def _renewal(session: Session, link: PayLink) -> str:
    offer = renewal_offers.find_offer(session, link.account_id)
    if offer is None:
        abort(404)
    renewed = offer.due_on > link.due_on
    return render_template(
        "links/renewal.html",
        title=f"{offer.plan} is renewed" if renewed else f"Renew {offer.plan}",
        product=None,
        offer=offer,
        renewed=renewed,
        price=None if offer.price_paise is None else rupees(offer.price_paise),
    )
