"""The actor of a command, for the audit log: from the operating system, not the environment."""

import os
import pwd
import re

_ODD = re.compile(r"[^\w.@+$-]")
_LONGEST = 64


def process_actor(named: str | None = None) -> str:
    """Return `cli:NAME` of the process's user, or `cli:NUMBER` for a user without a name.

    `named` is what the user says to be; it stands behind it: `cli:root (as ops)`.

    Under sudo it is `cli:root (sudo alice)`; the name in brackets is SUDO_USER, which root can
    set to anything. A character that does not belong in a name becomes `?`.
    """
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # an account without a name, in a container
        name = str(number)
    sudo_user = os.environ.get("SUDO_USER", "")
    known = f"cli:{_plain(name)}" + (f" (sudo {_plain(sudo_user)})" if sudo_user else "")
    return known if named is None else f"{known} (as {_plain(named)})"


def _plain(name: str) -> str:
    return _ODD.sub("?", name)[:_LONGEST]
