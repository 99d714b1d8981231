"""Who runs the command, for the audit log: what the system knows, not what the environment says."""

import os
import pwd
import re

_ODD = re.compile(r"[^\w.@+$-]")
_LONGEST = 64


def actor() -> str:
    """Return `cli:NAME` of the process' user; of one that has no name, `cli:NUMBER`.

    Where sudo says who asked it, `cli:root (sudo alice)`: the name in brackets is what SUDO_USER
    holds, which whoever is root could have set. Whatever cannot stand in a name becomes `?`.
    """
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # an account without a name, in a container
        name = str(number)
    asked = os.environ.get("SUDO_USER", "")
    return f"cli:{_plain(name)}" + (f" (sudo {_plain(asked)})" if asked else "")


def _plain(name: str) -> str:
    return _ODD.sub("?", name)[:_LONGEST]
