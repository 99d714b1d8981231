"""Connections to addresses that were judged, with one deadline over everything that is waited for.

Each read and write gets what is left of the deadline: a server that sends a byte a second is cut
off at it as well as one that sends nothing. Plain `http.client` would give every byte a new
time-out. No more than `MOST_BYTES` of an answer are read, head and body together, as they come:
what is compressed stays compressed.
"""

import io
import select
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from notify.http.addresses import Destination

CONNECT_SECONDS = 5.0
MOST_BYTES = 64 * 1024
MOST_IDLE = 100
"""Connections that wait to be used again, to all hosts together."""
IDLE_SECONDS = 20.0
MOST_SECONDS = 60.0
"""The age of a connection at which it is used no more, however busy: the name of its host may lead
elsewhere by then, and is looked up and judged again."""


class NotConnected(OSError):
    """None of the addresses took the connection in time."""


class TooLong(Exception):
    """The answer has more than `MOST_BYTES`."""


class Deadline:
    """The moment at which everything ends."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; raises `TimeoutError` if there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class Connection:
    """One open connection; a request at a time, each with a deadline of its own."""

    def __init__(self, plain: socket.socket) -> None:
        self._socket = plain
        self.opened_at = time.monotonic()
        self.idle_since = 0.0

    def start_tls(self, context: ssl.SSLContext, name: str, deadline: Deadline) -> None:
        """Begin TLS and check the certificate and its name; raises `ssl.SSLError`."""
        self._socket.settimeout(deadline.left())
        self._socket = context.wrap_socket(self._socket, server_hostname=name)

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(deadline.left())
            rest = rest[self._socket.send(rest) :]

    def answer(self, deadline: Deadline) -> "Incoming":
        """Return what `http.client.HTTPResponse` reads one answer from."""
        return Incoming(self._socket, deadline)

    def has_gone_stale(self) -> bool:
        """Return whether the other side has closed it, or said something unasked."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(0))

    def close(self) -> None:
        """Close it, whatever is under way."""
        self._socket.close()


class Incoming:
    """An answer on its way, in the form of a socket."""

    def __init__(self, source: socket.socket, deadline: Deadline) -> None:
        self._raw = _Raw(source, deadline)
        self._reader: io.BufferedReader = io.BufferedReader(self._raw)

    @property
    def has_begun(self) -> bool:
        """Whether a byte of it has come."""
        return self._raw.received > 0

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the reader of its bytes, always the same: it may have read ahead."""
        return self._reader


class _Raw(io.RawIOBase):
    def __init__(self, source: socket.socket, deadline: Deadline) -> None:
        self._source, self._deadline = source, deadline
        self.received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        room = MOST_BYTES - self.received
        if room <= 0:
            raise TooLong
        self._source.settimeout(self._deadline.left())
        count = self._source.recv_into(buffer[:room])
        self.received += count
        return count


def opened(
    to: Destination, addresses: Sequence[str], context: ssl.SSLContext, deadline: Deadline
) -> Connection:
    """Connect to one of the addresses, tried in their order, and begin TLS if it is https.

    The addresses share `CONNECT_SECONDS`, so that one which swallows packets leaves time for the
    next. Raises `NotConnected`, `TimeoutError`, or `ssl.SSLError`.
    """
    connection = Connection(_connected(to.port, addresses, deadline))
    try:
        if to.is_tls:
            connection.start_tls(context, to.host, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(port: int, addresses: Sequence[str], deadline: Deadline) -> socket.socket:
    give_up_at = time.monotonic() + CONNECT_SECONDS
    why = "refused"
    for position, address in enumerate(addresses):
        share = (give_up_at - time.monotonic()) / (len(addresses) - position)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        # The address as it is: nothing here may look anything up.
        candidate = socket.socket(family, socket.SOCK_STREAM)
        try:
            candidate.settimeout(max(min(share, deadline.left()), 0.001))
            candidate.connect((address, port))
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError:
            candidate.close()
            why = f"no answer within {CONNECT_SECONDS:g} seconds"
        except OSError:
            candidate.close()
        else:
            return candidate
    deadline.left()
    raise NotConnected(f"no connection: {why}")


def trusting_the_system() -> ssl.SSLContext:
    """Return a context that checks certificates and names.

    Trusted is what OpenSSL trusts on this computer (SSL_CERT_FILE and SSL_CERT_DIR count); without
    any such file, the list that `requests` brings.
    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


class Idle:
    """The connections that wait to be used again, the oldest dropped first."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Connection, Destination] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, to: Destination) -> Connection | None:
        """Return a connection to the same host that is still good, if there is one."""
        with self._lock:
            dropped = self._too_old()
            found = next((c for c in reversed(self._waiting) if _same(self._waiting[c], to)), None)
            if found is not None:
                del self._waiting[found]
        for connection in dropped:
            connection.close()
        if found is not None and found.has_gone_stale():
            found.close()
            return None
        return found

    def keep(self, connection: Connection, to: Destination) -> None:
        """Keep a connection whose answer was read to its end, unless it is old."""
        connection.idle_since = time.monotonic()
        if connection.idle_since - connection.opened_at > MOST_SECONDS:
            connection.close()
            return
        with self._lock:
            self._waiting[connection] = to
            dropped = self._too_old()
        for old in dropped:
            old.close()

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            closed = list(self._waiting)
            self._waiting.clear()
        for connection in closed:
            connection.close()

    def _too_old(self) -> list[Connection]:
        before = time.monotonic() - IDLE_SECONDS
        dropped: list[Connection] = []
        for connection in self._waiting:  # in the order in which they were kept
            if connection.idle_since > before and len(self._waiting) - len(dropped) <= MOST_IDLE:
                break
            dropped.append(connection)
        for connection in dropped:
            del self._waiting[connection]
        return dropped


def _same(one: Destination, other: Destination) -> bool:
    return (one.is_tls, one.host, one.port) == (other.is_tls, other.host, other.port)
