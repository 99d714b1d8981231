"""Carries webhooks to their URLs: once, twice, late, or never; again and again until taken.

All luck is rolled when an event happens, in its order, so that a seed gives the same deliveries
however the threads run. What the gateways differ in (headers, ladder) comes with the `Parcel`.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import clock
from devstack.simulator import post
from devstack.simulator.chance import Chance
from devstack.simulator.ladder import Outcome
from devstack.simulator.switches import Switches
from devstack.simulator.timers import Timers

log = logging.getLogger("simulator")

GAP_SECONDS = 0.3
"""Between the first attempts of events that happen together; 0.2 to 0.6 were seen."""
State = Literal["waiting", "taken", "given up", "dropped", "disabled"]


@dataclass(frozen=True)
class Parcel:
    """One event, ready to be sent."""

    gateway: str
    event_id: str
    event: str
    body: bytes
    headers: Callable[[], Mapping[str, str]]
    """Called for each attempt: Stripe signs the time of sending."""
    gaps: Callable[[str, Outcome], list[float]]


@dataclass
class Delivery:
    """One parcel on its way to one URL."""

    parcel: Parcel
    url: str
    state: State = "waiting"
    attempts: list[dict[str, Any]] = field(default_factory=list)
    gaps: deque[float] | None = None
    """Waits of the ladder that are left; None before the first failure."""
    again: bool = False
    """Is to be sent once more when it was taken."""
    twin: "Delivery | None" = None
    """The same parcel once more, sent at the same time."""
    next: "Delivery | None" = None
    """Follows when the first attempt at this one is over."""

    def described(self) -> dict[str, Any]:
        """Return what the control endpoint shows."""
        return {
            "gateway": self.parcel.gateway, "event_id": self.parcel.event_id,
            "event": self.parcel.event, "url": self.url, "state": self.state,
            "attempts": self.attempts,
        }  # fmt: skip


class Courier:
    """Sends parcels in the background and remembers what became of them."""

    def __init__(
        self, timers: Timers, switches: Callable[[], Switches], timeout_seconds: float
    ) -> None:
        self._timers = timers
        self._switches = switches
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._deliveries: list[Delivery] = []
        self._disabled: set[str] = set()

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        """What became of every event, oldest first."""
        with self._lock:
            return [delivery.described() for delivery in self._deliveries]

    def forget(self) -> None:
        """Start anew; what is under way ends unseen. The caller forgets the timers."""
        with self._lock:
            for delivery in self._deliveries:
                delivery.state, delivery.next = "dropped", None
            self._deliveries = []
            self._disabled = set()

    def enable(self) -> None:
        """Send to URLs again that were switched off, as a person does on the dashboard."""
        with self._lock:
            self._disabled = set()

    def send(self, parcels: Sequence[Parcel], urls: Sequence[str], chance: Chance) -> None:
        """Send events that happened together to every URL, in order unless shuffled."""
        for url in urls:
            before: Delivery | None = None
            for parcel in parcels:
                delivery, held_back = self._roll(Delivery(parcel, url), chance)
                with self._lock:
                    self._deliveries += [delivery, delivery.twin] if delivery.twin else [delivery]
                if delivery.state != "waiting":
                    continue
                if held_back:
                    self._start(delivery, held_back)
                    continue
                if before is None:
                    self._timers.later(0, self._attempt_of(delivery))
                else:
                    before.next = delivery
                before = delivery

    def _roll(self, delivery: Delivery, chance: Chance) -> tuple[Delivery, float]:
        switches = self._switches()
        dropped = chance.happens("drops", switches.drops)
        duplicated = chance.happens("duplicates", switches.duplicates)
        at_once = chance.happens("duplicates_at_once", 0.5)
        shuffled = chance.happens("shuffle", switches.shuffle)
        held_back = chance.between("shuffle_seconds", 0, switches.shuffle_seconds)
        if delivery.url in self._disabled:
            delivery.state = "disabled"
        elif dropped:
            delivery.state = "dropped"
            log.info("simulator: %s dropped", delivery.parcel.event)
        elif duplicated and at_once:
            delivery.twin = Delivery(delivery.parcel, delivery.url)
        delivery.again = duplicated and not at_once
        return delivery, held_back if shuffled else 0

    def _start(self, delivery: Delivery, seconds: float) -> None:
        self._timers.later(seconds / self._switches().speed, self._attempt_of(delivery))

    def _attempt_of(self, delivery: Delivery) -> Callable[[], None]:
        return lambda: self._attempt(delivery)

    def _attempt(self, delivery: Delivery) -> None:
        if delivery.state != "waiting":  # forgotten
            return
        if delivery.twin is not None and not delivery.attempts:
            self._timers.later(0, self._attempt_of(delivery.twin))
        parcel = delivery.parcel
        started = clock.now()
        outcome, status = post.send(
            delivery.url, parcel.body, parcel.headers(), self._timeout_seconds
        )
        log.info(
            "simulator: webhook %s %s to %s: %s", parcel.event, parcel.event_id, delivery.url,
            status or outcome,
        )  # fmt: skip
        with self._lock:
            delivery.attempts.append(
                {"at": started.isoformat(), "outcome": outcome, "status": status}
            )
            follower, delivery.next = delivery.next, None
            wait = self._next_wait(delivery, outcome) if delivery.state == "waiting" else None
        if wait is not None:
            self._start(delivery, wait)
        if follower is not None:
            self._start(follower, GAP_SECONDS)

    def _next_wait(self, delivery: Delivery, outcome: Outcome) -> float | None:
        """Decide how it goes on; return the seconds to the next attempt, None at the end."""
        if outcome == "taken":
            if delivery.again:
                delivery.again = False
                return GAP_SECONDS
            delivery.state = "taken"
            return None
        if delivery.gaps is None:
            delivery.gaps = deque(delivery.parcel.gaps(delivery.parcel.event, outcome))
        if delivery.gaps:
            return delivery.gaps.popleft()
        delivery.state = "given up"
        if self._switches().disable_webhooks:
            self._disabled.add(delivery.url)
        return None
