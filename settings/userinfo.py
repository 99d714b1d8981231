"""Parts user and password from the rest of an address, whatever letters the password holds.

Written by the book (RFC 3986), `@ # / ? [` in a password are percent-encoded. People paste them as
they are. That works if the address can be read in one way only. If it cannot, the error says what
to write instead, and repeats nothing of the address: any part of it could be the password's.
"""

import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, unquote

HINT = "in a user or password write % as %25, @ as %40, # as %23, / as %2F, ? as %3F and [ as %5B"

_Rest = TypeVar("_Rest")


def part(text: str, read: Callable[[str], _Rest]) -> tuple[str, _Rest]:
    """Return `user:password`, well encoded ("": there is none), and what `read` returns.

    `text` is an address after its `://`. `read` gets what follows the user and password, and
    raises `ValueError` if it is no such thing. Raises `ValueError`.
    """
    authority = re.split("[/?#]", text, maxsplit=1)[0]
    # By the book user and password end at the last @ of the authority; as pasted, at the last @.
    ends = list(dict.fromkeys((authority.rfind("@"), text.rfind("@"))))
    found: list[tuple[str, _Rest]] = []
    problem = ValueError()
    for end in ends:
        try:
            found.append((_encoded(text[: max(end, 0)]), read(text[end + 1 :])))
        except ValueError as error:
            problem = error
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"can be read in two ways: {HINT}")
    if len(ends) > 1:
        raise ValueError(f"cannot be read: {HINT}")
    raise problem


def decoded(userinfo: str) -> tuple[str, str]:
    """Return user and password of what `part` returned."""
    user, _, password = userinfo.partition(":")
    return unquote(user), unquote(password)


def _encoded(userinfo: str) -> str:
    user, colon, password = userinfo.partition(":")
    if re.search("[/?#]", user):
        raise ValueError(HINT)
    if not re.search(r"[@/?#\[\]\s]", userinfo):
        return userinfo
    return f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}"
