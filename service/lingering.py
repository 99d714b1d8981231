"""The answer to a body that is too long, for every server: heard by whoever is still sending."""

import time
from collections.abc import Iterator
from typing import IO

LINGER_BYTES = 16 * 1024 * 1024
LINGER_SECONDS = 2


def answer_then_read(answer: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the answer at once, then read and forget some of the refused body.

    Many clients look for an answer only after they have sent everything. `stream` is the request's
    `wsgi.input`, to be taken while there is a request: it is gone when the answer is sent.
    """
    yield answer
    stop_at = time.monotonic() + LINGER_SECONDS
    left = LINGER_BYTES
    while left > 0 and time.monotonic() < stop_at:
        piece = stream.read(min(left, 64 * 1024))
        if not piece:
            return
        left -= len(piece)
