"""What a platform remembers of notices: which were handled, and how new each state is.

Notices come at least once, and unless the endpoint is `ordered` in any order. A `Memory` says of
each whose turn it is. `InProcessMemory` is right for one process; several web processes share a
`RedisMemory`, or one of your own over your database. Whichever it is, a process that dies between
the handler's work and its mark gets the notice again: make handlers that may run twice, or keep
`notice.id` in the transaction of the handler's own work.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from threading import Lock
from typing import Any, Protocol

from billing_client.notice_types import Notice


class Turn(IntEnum):
    """What is to be done with a notice."""

    HANDLE = 0
    """Nobody has: then `finish` or `give_up`."""
    REPEAT = 1
    """It was handled."""
    STALE = 2
    """A newer notice of the same state was handled."""
    BUSY = 3
    """It, or another of the same state, is being handled now: let it come again."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of an account that a notice reports."""

    key: str
    """Such as `balance of clinic:42`."""
    sequence: int
    drops: bool
    """It is worth nothing once a newer one was handled."""
    sets: bool
    """What is older than this one is stale."""


class Memory(Protocol):
    """What a receiver needs to know of earlier notices. Used by many threads at once."""

    def begin(self, notice_id: str, state: State | None) -> Turn:
        """Return whose turn it is; after `Turn.HANDLE` the notice is marked as being handled."""

    def finish(self, notice_id: str, state: State | None) -> None:
        """Remember that it was handled, for longer than it may come again."""

    def give_up(self, notice_id: str, state: State | None) -> None:
        """Forget the mark: it was not handled, and has its turn when it comes again."""


@dataclass(frozen=True, slots=True)
class _Rule:
    of: str
    drops: bool
    sets: bool


STATES: Mapping[str, _Rule] = {
    **dict.fromkeys(
        ("balance.low", "balance.exhausted", "balance.in_debt", "balance.recovered"),
        _Rule("balance", drops=True, sets=True),
    ),
    **dict.fromkeys(
        ("plan.active", "plan.due_soon", "plan.past_due", "plan.degraded"),
        _Rule("plan", drops=True, sets=True),
    ),
    # A reminder of a year that is paid meanwhile is wrong; itself it makes no state old.
    "renewal.reminder": _Rule("plan", drops=True, sets=False),
    # Facts: a year was paid. They make older states stale, and are never stale themselves.
    **dict.fromkeys(
        ("plan.activated", "plan.renewed"),
        _Rule("plan", drops=False, sets=True),
    ),
}
"""The topics that report a state of the account, which the newest notice says in full.

Every other topic is a fact about one thing (a lead, a payment, a refund, a dispute, a chargeback):
it is never dropped for being late, because no other notice says the same. A handler that keeps the
state of such a thing compares `notice.sequence` with that of what it has kept.
"""


def state_of(notice: Notice) -> State | None:
    """Return the state that a notice reports; None: it is a fact."""
    rule = STATES.get(notice.topic)
    if rule is None or notice.account is None or notice.sequence is None:
        return None
    return State(f"{rule.of} of {notice.account}", notice.sequence, rule.drops, rule.sets)


class InProcessMemory:
    """Remembers in this process, up to a number of notices and of states; the oldest go first."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._lock = Lock()
        self._handled: OrderedDict[str, None] = OrderedDict()
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._in_progress: set[str] = set()
        """Ids of notices, and keys of states, which hold a blank."""

    def begin(self, notice_id: str, state: State | None) -> Turn:
        """Return whose turn it is."""
        with self._lock:
            if notice_id in self._handled:
                return Turn.REPEAT
            if notice_id in self._in_progress:
                return Turn.BUSY
            if state is not None:
                if state.drops and state.sequence <= self._newest.get(state.key, 0):
                    return Turn.STALE
                if state.key in self._in_progress:
                    return Turn.BUSY
                self._in_progress.add(state.key)
            self._in_progress.add(notice_id)
            return Turn.HANDLE

    def finish(self, notice_id: str, state: State | None) -> None:
        """Remember that it was handled."""
        with self._lock:
            self._clear(notice_id, state)
            self._put(self._handled, notice_id, None)
            if state is not None and state.sets:
                newest = max(state.sequence, self._newest.get(state.key, 0))
                self._put(self._newest, state.key, newest)

    def give_up(self, notice_id: str, state: State | None) -> None:
        """Forget the mark."""
        with self._lock:
            self._clear(notice_id, state)

    def _clear(self, notice_id: str, state: State | None) -> None:
        self._in_progress.discard(notice_id)
        if state is not None:
            self._in_progress.discard(state.key)

    def _put(self, kept: OrderedDict[str, Any], name: str, value: object) -> None:
        kept[name] = value
        kept.move_to_end(name)
        while len(kept) > self._size:
            kept.popitem(last=False)


class RedisMemory:
    """Remembers in a Redis that all processes of the platform share.

    `redis` is the platform's own `redis.Redis`. A notice that a killed process was handling has its
    turn again after `lease`, which must be longer than any handler runs. Handled notices are kept
    for `kept_for`: the back office tries for about 75 hours. How new each state is stays for
    `states_kept_for`, as what was missed may be replayed much later. If Redis loses its data,
    repeats of what was handled before are handled again.
    """

    def __init__(
        self,
        redis: Any,
        *,
        prefix: str = "billing-notices",
        kept_for: timedelta = timedelta(days=4),
        states_kept_for: timedelta = timedelta(days=90),
        lease: timedelta = timedelta(minutes=1),
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._kept_seconds = round(kept_for.total_seconds())
        self._states_kept_seconds = round(states_kept_for.total_seconds())
        self._lease_seconds = max(round(lease.total_seconds()), 1)

    def begin(self, notice_id: str, state: State | None) -> Turn:
        """Return whose turn it is."""
        drops = state is not None and state.drops
        return Turn(self._run(_BEGIN, notice_id, state, self._lease_seconds, int(drops)))

    def finish(self, notice_id: str, state: State | None) -> None:
        """Remember that it was handled."""
        sets = state is not None and state.sets
        kept = (self._kept_seconds, int(sets), self._states_kept_seconds)
        self._run(_FINISH, notice_id, state, *kept)

    def give_up(self, notice_id: str, state: State | None) -> None:
        """Forget the mark."""
        self._run(_GIVE_UP, notice_id, state)

    def _run(self, script: str, notice_id: str, state: State | None, *numbers: int) -> int:
        # The braces keep all of them on one node of a cluster.
        place = f"{{{self._prefix}}}"
        keys = [f"{place}:notice:{notice_id}"]
        if state is not None:
            keys += [f"{place}:newest:{state.key}", f"{place}:busy:{state.key}"]
        sequence = 0 if state is None else state.sequence
        return int(self._redis.eval(script, len(keys), *keys, sequence, *numbers))


# KEYS: the notice, and of a state its newest sequence and its mark. ARGV: sequence, seconds, flag,
# and the seconds of a state.
_BEGIN = """
local mark = redis.call('GET', KEYS[1])
if mark == 'handled' then return 1 elseif mark then return 3 end
if KEYS[2] then
  local newest = tonumber(redis.call('GET', KEYS[2]) or 0)
  if ARGV[3] == '1' and tonumber(ARGV[1]) <= newest then return 2 end
  if not redis.call('SET', KEYS[3], KEYS[1], 'NX', 'EX', ARGV[2]) then return 3 end
end
redis.call('SET', KEYS[1], 'busy', 'EX', ARGV[2])
return 0
"""
_FINISH = """
redis.call('SET', KEYS[1], 'handled', 'EX', ARGV[2])
if KEYS[2] then
  local newest = math.max(tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[2]) or 0))
  if ARGV[3] == '1' then redis.call('SET', KEYS[2], newest, 'EX', ARGV[4]) end
  if redis.call('GET', KEYS[3]) == KEYS[1] then redis.call('DEL', KEYS[3]) end
end
return 0
"""
_GIVE_UP = """
if redis.call('GET', KEYS[1]) == 'busy' then redis.call('DEL', KEYS[1]) end
if KEYS[3] and redis.call('GET', KEYS[3]) == KEYS[1] then redis.call('DEL', KEYS[3]) end
return 0
"""
