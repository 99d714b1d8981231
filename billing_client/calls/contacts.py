"""Contacts of an account: adding, listing and removing them."""

from collections.abc import Iterable

from billing_client.call import Call, Page, delete, given, list_of, post, reader_of
from billing_client.checks import checked_account, checked_id, checked_number, checked_text
from billing_client.errors import InvalidRequest
from billing_client.results import Contact

_ADDRESS_MAX_LENGTH = 254
_OF_ACCOUNT = "/v1/accounts/{ref}/contacts"


def add_contact(
    account: str, address: str, *, topics: Iterable[str] | None, idempotency_key: str | None
) -> Call[Contact]:
    """Add an address to an account."""
    fields = given(
        address=checked_text("address", address, _ADDRESS_MAX_LENGTH), topics=_patterns(topics)
    )
    return post(
        _OF_ACCOUNT,
        reader_of(Contact),
        fields=fields,
        idempotency_key=idempotency_key,
        ref=checked_account(account),
    )


def list_contacts(account: str) -> Call[Page[Contact]]:
    """Return the contacts of an account, the oldest first."""
    return list_of(_OF_ACCOUNT, "contacts", Contact, query={}, ref=checked_account(account))


def remove_contact(account: str, contact_id: int) -> Call[None]:
    """Remove a contact."""
    return delete(
        f"{_OF_ACCOUNT}/{{contact_id}}",
        gone="unknown-contact",
        ref=checked_account(account),
        contact_id=checked_number("contact_id", contact_id),
    )


def _patterns(topics: Iterable[str] | None) -> list[str] | None:
    if topics is None:
        return None
    if isinstance(topics, str):
        raise InvalidRequest('topics: must be a list, such as ["balance.*"]')
    return [checked_id("topics", one) for one in topics]
