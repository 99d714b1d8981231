"""The worker's app on an internet of its own: names that lead to the receivers of a test.

Each name that ends in `INTERNET_DOMAIN` has one public address, and what is sent there arrives at
this computer. The name `rebinding` has it at the first look-up only, and is this computer itself at
every later one: whoever looks it up to judge it, and once more to connect, calls into our network.
To tell one from the other, a port of the public address leads to another port here, by
`INTERNET_ROUTES` (`port:port,...`).

Changes this process: only a worker imports it, as `celery -A tests.tasks.notices.internet worker`.
"""

import os
import socket
from collections import Counter
from typing import Any

from worker.app import app

__all__ = ["app"]

DOMAIN = os.environ["INTERNET_DOMAIN"]
PUBLIC = "100.255.255.254"
HERE = "127.0.0.1"

ROUTES: dict[int, int] = {
    int(public): int(here)
    for public, here in (route.split(":") for route in os.environ["INTERNET_ROUTES"].split(","))
}
"""Port of the public address -> port here, if it is another."""

_look_ups: Counter[str] = Counter()
_real_look_up, _real_connect = socket.getaddrinfo, socket.socket.connect


def _look_up(host: Any, port: Any, *more: Any, **named: Any) -> Any:
    if not str(host).endswith(DOMAIN):
        return _real_look_up(host, port, *more, **named)
    _look_ups[host] += 1
    is_rebound = host == f"rebinding{DOMAIN}" and _look_ups[host] > 1
    address = (HERE if is_rebound else PUBLIC, port)
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]


def _connect(self: socket.socket, address: Any) -> None:
    if address[0] == PUBLIC:
        address = (HERE, ROUTES.get(address[1], address[1]))
    _real_connect(self, address)


socket.getaddrinfo = _look_up
socket.socket.connect = _connect  # type: ignore[method-assign, assignment]
