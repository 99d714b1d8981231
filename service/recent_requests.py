"""Recent requests of the API: what is noted of one, and the streams of Redis that keep them.

For development and support, like a gateway's log of requests: `billing requests list|show`. No
body, no raw path and no header of a stranger is noted; what is, `api/request_log.py` decides. It
appends here in batches; the command line reads. Nothing is decided by a note: a flush of Redis
loses all of them, and no more.

Two streams: requests with a valid key, and those without. Strangers can send as many as they like,
and so drive out only each other.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, cast

from redis import Redis

KEPT_FOR = timedelta(days=7)
STRANGERS_SHARE = 10
"""One of so many kept requests may be without a valid key, in addition to the others."""

OF_CALLERS = "billing:requests:callers"
OF_STRANGERS = "billing:requests:strangers"
STREAMS = (OF_CALLERS, OF_STRANGERS)
_FIELD = b"request"
_READ_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """One request and how it was answered."""

    at: datetime
    """When its head had come in, by the clock of the process."""
    request_id: str
    method: str
    route: str | None
    """As the OpenAPI document writes it, such as `/v1/accounts/{ref}`; None: no path of the API."""
    status: int
    duration_ms: float
    """From its head to the first byte of its answer."""
    caller: str | None
    """The name of its API key; None without a valid one."""
    account: str | None = None
    """The account that it is about, if that is on record and in the caller's reach."""
    problem: str | None = None
    """The last part of the type of a refusal, such as `unknown-lead`; None if it has none."""
    replayed: bool = False
    """Whether this is the stored answer of an earlier request with its Idempotency-Key."""
    client: str | None = None
    """Our own client and its version; None: any other program."""

    @property
    def request(self) -> str:
        """Method and route in one."""
        return f"{self.method} {self.route or '(unknown path)'}"


Position = tuple[int, int, int]
"""Where a request lies: the two numbers of its entry, and which of the streams has it."""


def append(redis: Redis, requests: Iterable[RecentRequest], *, kept: int, now: datetime) -> None:
    """Add requests, in one exchange with Redis, and let those go that are too many or too old.

    `kept` is how many with a valid key stay. `now` is the real time: Redis knows no other. Raises
    the errors of redis-py; then some may have been added.
    """
    oldest = int((now - KEPT_FOR).timestamp() * 1000)
    pipeline = redis.pipeline(transaction=False)
    touched = set()
    for one in requests:
        stream = OF_STRANGERS if one.caller is None else OF_CALLERS
        touched.add(stream)
        pipeline.xadd(stream, {_FIELD: _encoded(one)})
    for stream in sorted(touched):
        most = kept if stream == OF_CALLERS else max(1, kept // STRANGERS_SHARE)
        pipeline.xtrim(stream, maxlen=most, approximate=False)
        pipeline.xtrim(stream, minid=str(oldest), approximate=False)
        pipeline.expire(stream, KEPT_FOR)
    pipeline.execute()


def newest_first(
    redis: Redis, *, after: Position | None = None
) -> Iterator[tuple[Position, RecentRequest]]:
    """Yield the requests behind a position, read as they are asked for.

    Raises the errors of redis-py. An entry that this version cannot read is left out.
    """
    streams = (_entries(redis, number, after) for number in range(len(STREAMS)))
    for position, raw in heapq.merge(*streams, key=lambda entry: entry[0], reverse=True):
        found = _decoded(raw)
        if found is not None:
            yield position, found


def written(position: Position) -> str:
    """Return a position as text, for `position_of`."""
    return "-".join(map(str, position))


def position_of(text: str) -> Position:
    """Return the position that `written` wrote. Raises `ValueError` for any other text."""
    parts = text.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError("is not a position of this list: take it from the line below a page")
    milliseconds, sequence, stream = map(int, parts)
    if max(milliseconds, sequence) >= 2**64 or stream >= len(STREAMS):
        raise ValueError("is not a position of this list: take it from the line below a page")
    return milliseconds, sequence, stream


def _entries(redis: Redis, number: int, after: Position | None) -> Iterator[tuple[Position, bytes]]:
    newest = "+"
    if after is not None:
        # Entries of two streams may have the same id: those of the lower number come later.
        newest = f"{'' if number < after[2] else '('}{after[0]}-{after[1]}"
    while True:
        found = cast(
            Sequence[tuple[bytes, dict[bytes, bytes]]],
            redis.xrevrange(STREAMS[number], max=newest, count=_READ_AT_A_TIME),
        )
        for entry_id, content in found:
            milliseconds, _, sequence = entry_id.decode().partition("-")
            yield (int(milliseconds), int(sequence), number), content.get(_FIELD, b"")
        if len(found) < _READ_AT_A_TIME:
            return
        newest = f"({found[-1][0].decode()}"


def _encoded(one: RecentRequest) -> str:
    # Not dataclasses.asdict, which copies each value: every request pays for this.
    known: dict[str, Any] = {name: value for name in _FIELDS if (value := getattr(one, name))}
    known["at"] = one.at.isoformat()
    return json.dumps(known, separators=(",", ":"))


_FIELDS = frozenset(field.name for field in fields(RecentRequest))


def _decoded(raw: bytes) -> RecentRequest | None:
    try:
        found = json.loads(raw)
        known = {name: value for name, value in found.items() if name in _FIELDS}
        known["at"] = datetime.fromisoformat(known["at"])
        return RecentRequest(**{"route": None, "caller": None, "duration_ms": 0.0, **known})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
