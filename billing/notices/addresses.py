"""What counts as an address of a person. Pure.

Conservative on purpose (RFC 5321, section 4.1.2, without its quoted forms): what passes can stand
in a header and in the envelope as it is, and any mail server takes it. Letters beyond ASCII before
the `@` would need SMTPUTF8 at every server on the way; a domain beyond ASCII has an ASCII form.
"""

import re

from billing.notices.errors import InvalidContact

MAX_LENGTH = 254
"""RFC 5321, section 4.5.3.1.3, less the angle brackets."""
_MAX_LOCAL = 64
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_NUMBER = re.compile(r"[0-9]+")


def problem_with(address: str) -> str | None:
    """Return what is wrong with an address, without repeating it; None: nothing is."""
    if len(address) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} letters"
    local, at, domain = address.partition("@")
    if not at or "@" in domain:
        return "must be of the form name@place"
    if not address.isascii():
        return "must be ASCII: write a domain in its xn-- form"
    if len(local) > _MAX_LOCAL or not _LOCAL.fullmatch(local):
        return "has letters before the @ that an address cannot have"
    if not _DOMAIN.fullmatch(domain) or _NUMBER.fullmatch(domain.rpartition(".")[2]):
        return "must have the name of a place after the @, such as clinic.example"
    return None


def checked(address: str) -> str:
    """Return the address as it is stored; raises `InvalidContact`."""
    if problem := problem_with(address):
        raise InvalidContact("address", problem)
    return address
