"""How a server's `__main__` becomes granian, with this process' id and the Procfile's options."""

import os
import resource
import sys
from typing import NoReturn

import settings

OPEN_FILES = 8_192
"""More than the Procfile's `--backpressure`, with room for everything else that a process opens."""


def become(target: str, where: settings.Listener) -> NoReturn:
    """Replace this process by granian, serving `target` with the options of our command line."""
    _allow_open_files()
    address = ["--host", where.host, "--port", str(where.port)]
    granian = [sys.executable, "-m", "granian", *address, *sys.argv[1:], target]
    os.execv(sys.executable, granian)  # noqa: S606 - becomes the server


def _allow_open_files() -> None:
    """Raise the limit of open files, often 1,024, as far as this user may: each connection is one.

    Beyond the limit no connection is accepted, and nobody says why.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
