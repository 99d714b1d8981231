"""`/v1/accounts/{ref}/contacts`: the addresses that an account's mails go to.

A platform adds them for its customers. It cannot vouch that an address is the customer's: one mail
asks its reader to confirm it, and until then it gets receipts alone.
"""

from datetime import datetime
from http import HTTPMethod
from typing import Annotated, Self

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import auth, idempotency
from api.accounts import AccountPath
from api.examples import UNKNOWN_ACCOUNT, Example, Refused
from api.problems import bad_field
from api.routes import route
from billing.notices import contacts as rules
from billing.topics import ALL, UnknownTopic
from db.session import transaction

contacts = APIBlueprint("contacts", __name__, url_prefix="/v1", abp_tags=[Tag(name="contacts")])

_Pattern = Annotated[str, Field(max_length=64)]


class NewContact(BaseModel):
    """An address to add."""

    model_config = ConfigDict(strict=True, extra="forbid")

    address: str = Field(description="an e-mail address, such as desk@clinic.example")
    topics: list[_Pattern] = Field(
        default_factory=lambda: [ALL],
        max_length=100,
        description="the topics that it is mailed about: names such as `balance.low`, families such"
        " as `balance.*`; left out: all",
    )


class Contact(BaseModel):
    """An address, and what it is mailed about."""

    contact_id: int
    account: str
    address: str
    topics: list[str]
    confirmed: bool = Field(
        description="whether it is mailed about everything: until its reader has confirmed it, it"
        " gets receipts alone"
    )
    unsubscribed: list[str] = Field(
        description="kinds of mail that its reader has stopped; `all`: every one but receipts"
    )
    created_at: datetime

    @classmethod
    def of(cls, found: rules.Contact, account: str) -> Self:
        """Return the answer for a contact of this account."""
        return cls(
            contact_id=found.contact_id,
            account=account,
            address=found.address,
            topics=list(found.topics),
            confirmed=found.confirmed,
            unsubscribed=list(found.unsubscribed),
            created_at=found.created_at,
        )


class Contacts(BaseModel):
    """All contacts of an account, the oldest first."""

    contacts: list[Contact]


class ContactPath(AccountPath):
    """The account and its contact."""

    contact_id: Annotated[
        int,
        Field(
            ge=1,
            le=2**63 - 1,
            description="ours, from the answer of POST /v1/accounts/{ref}/contacts",
        ),
    ]


class Removed(BaseModel):
    """A contact that is gone, and its address with it."""

    contact_id: int
    removed: bool


_ADDED = {
    "contact_id": 1,
    "account": "clinic:42",
    "address": "desk@clinic.example",
    "topics": ["balance.*", "payment.captured"],
    "confirmed": False,
    "unsubscribed": [],
    "created_at": "2026-11-21T10:00:00Z",
}
_BAD_ADDRESS = "must be of the form name@place"


@route(
    contacts,
    HTTPMethod.POST,
    "/accounts/<ref>/contacts",
    scope="contacts:write",
    answers=Contact,
    status=201,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42"},
        body={"address": "desk@clinic.example", "topics": ["balance.*", "payment.captured"]},
        answer=_ADDED,
        refused=(
            Refused(
                409,
                "contact-exists",
                "the address is already contact 1 of this account: remove that one first to change"
                " its topics",
                {"contact_id": 1},
            ),
            Refused(
                422,
                "invalid-fields",
                f"address: {_BAD_ADDRESS}",
                {"errors": [{"field": "address", "detail": _BAD_ADDRESS}]},
                body={"address": "desk"},
            ),
            UNKNOWN_ACCOUNT,
        ),
    ),
)
def add(path: AccountPath, body: NewContact) -> Contact:
    """Add an address to an account, and ask its reader to confirm it.

    An account has up to 20, and gets up to 40 in a day; one address is asked up to 5 times in 30
    days, about all accounts, unless it answers: then it is a 409 `too-many-contacts`.
    """
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        try:
            added = rules.add(
                session,
                account=account.ref,
                address=body.address,
                topics=body.topics,
                actor=auth.caller().actor,
                confirmed=False,
            )
        except UnknownTopic as error:
            raise bad_field("topics", error.problem) from error
        contact = Contact.of(added, account.ref)
        idempotency.keep(session, contact)
    return contact


@route(
    contacts,
    HTTPMethod.GET,
    "/accounts/<ref>/contacts",
    scope="contacts:read",
    answers=Contacts,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42"},
        answer={"contacts": [_ADDED]},
        refused=(UNKNOWN_ACCOUNT,),
    ),
)
def of_account(path: AccountPath) -> Contacts:
    """List the contacts of an account, the oldest first."""
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        found = rules.list_of(session, account=account.ref)
    return Contacts(contacts=[Contact.of(one, account.ref) for one in found])


@route(
    contacts,
    HTTPMethod.DELETE,
    "/accounts/<ref>/contacts/<contact_id>",
    scope="contacts:write",
    answers=Removed,
    refusals=(404,),
    example=Example(
        path={"ref": "clinic:42", "contact_id": "1"},
        answer={"contact_id": 1, "removed": True},
        refused=(
            Refused(
                404,
                "unknown-contact",
                "no contact with this id is known",
                path={"contact_id": "4"},
            ),
        ),
    ),
)
def remove(path: ContactPath) -> Removed:
    """Remove a contact and forget its address.

    Once it is gone, it is a 404 `unknown-contact`.
    """
    with transaction() as session:
        account = auth.account_in_reach(session, path.ref)
        rules.remove(session, path.contact_id, account=account.ref)
    return Removed(contact_id=path.contact_id, removed=True)
