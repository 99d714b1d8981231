"""The worker's app on an internet of its own: names that lead to the receivers of a test.

`NAME.receivers.example` has one public address, and what is sent there arrives at this computer.
The name `rebinding` has it at the first look-up only, and is this computer's own at every later
one: whoever looks it up to judge it, and once more to connect, calls into our network.

Started as `celery -A tests.tasks.notices.internet worker`.
"""

import socket
from collections import Counter
from typing import Any

from worker.app import app

__all__ = ["app"]

DOMAIN = ".receivers.example"
PUBLIC = "100.255.255.254"
HERE = "127.0.0.1"

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
        address = (HERE, address[1])
    _real_connect(self, address)


socket.getaddrinfo = _look_up
socket.socket.connect = _connect  # type: ignore[method-assign, assignment]
