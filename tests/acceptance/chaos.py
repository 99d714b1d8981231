"""What the chaos test is made of: senders that do not give up, and blows against the stack."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.acceptance.harness import NO_ANSWER, LeadEvent, Stack, tiers

SENDERS = 4
ACCEPTED = (200, 202)
TRY_AGAIN = (503, NO_ANSWER)
GIVE_UP_SECONDS = 120


@dataclass
class Traffic:
    """Events on their way in, at a steady pace, from a few senders at once."""

    stack: Stack
    events: list[LeadEvent]
    seconds: float
    """Over how long the events are spread, when nothing goes wrong."""
    answers: Counter[int] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    """The leads of the events that were answered 202 or 200."""

    def __enter__(self) -> "Traffic":
        self._threads = [
            threading.Thread(target=self._send_all, args=(self.events[number::SENDERS],))
            for number in range(SENDERS)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _send_all(self, events: list[LeadEvent]) -> None:
        started = time.monotonic()
        for number, event in enumerate(events):
            due = started + number * self.seconds / len(events)
            time.sleep(max(0, due - time.monotonic()))
            self._send(event)

    def _send(self, event: LeadEvent) -> None:
        give_up = time.monotonic() + GIVE_UP_SECONDS
        pause = 0.1
        while time.monotonic() < give_up:
            answer = self.stack.post_lead(event)
            self.answers[answer] += 1
            if answer in ACCEPTED:
                self.accepted.add(event.lead_id)
            if answer not in TRY_AGAIN:
                return
            time.sleep(pause)
            pause = min(2 * pause, 1)


class Blows:
    """The ways to hurt a stack, in an order and at moments that a seed decides."""

    def __init__(self, stack: Stack, chance: random.Random) -> None:
        self._stack = stack
        self._chance = chance
        self.dealt: Counter[str] = Counter()

    def deal_each_once(self) -> None:
        """Deal every kind of blow, one after the other, a few seconds apart."""
        blows: list[Callable[[], None]] = [
            self.kill_worker_children,
            self.kill_worker_parent,
            self.kill_receiver,
            self.flush_redis,
            self.restart_redis,
            self.restart_postgresql,
            self.kill_postgresql,
        ]
        self._chance.shuffle(blows)
        for blow in blows:
            time.sleep(self._chance.uniform(1, 4))
            blow()
            self.dealt[blow.__name__.replace("_", " ")] += 1

    def kill_worker_children(self) -> None:
        # Several times: to hit one in the middle of a task takes some luck.
        for _ in range(5):
            for pid in self._stack.worker_children()[:1]:
                self._kill(pid)
            time.sleep(self._chance.uniform(0.1, 0.4))

    def kill_worker_parent(self) -> None:
        self._kill(self._stack.running_pid_of("worker"))

    def kill_receiver(self) -> None:
        self._kill(self._stack.running_pid_of("receiver"))

    def kill_postgresql(self) -> None:
        self._kill(self._stack.running_pid_of("postgres"))

    def flush_redis(self) -> None:
        self._stack.wait_until_redis_answers()
        self._stack.flush_redis()

    def restart_redis(self) -> None:
        self._restart("redis")

    def restart_postgresql(self) -> None:
        self._restart("postgres")

    def _restart(self, name: str) -> None:
        self._stack.stop(name)
        time.sleep(self._chance.uniform(0.5, 3))
        self._stack.start(name)

    def _kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):  # it was faster
            self._stack.kill(pid)


def make_events(
    count: int, *, prefix: str, accounts: Iterable[str], chance: random.Random
) -> list[LeadEvent]:
    """Return `count` events in a random order: most with a lead of their own, some known ones.

    One in ten is an event sent before, byte for byte; one in ten tells of a known lead anew.
    """
    refs = list(accounts)
    events: list[LeadEvent] = []
    for number in range(count):
        kind = chance.random() if events else 1
        if kind < 0.1:
            events.append(chance.choice(events))
        elif kind < 0.2:
            known = chance.choice(events)
            again = f"{prefix}-again-{number}"
            events.append(LeadEvent(again, known.lead_id, known.account, known.price_paise))
        else:
            price_paise, _ = chance.choice(tiers())
            name = f"{prefix}-{number}"
            events.append(LeadEvent(name, f"lead-{name}", chance.choice(refs), price_paise))
    chance.shuffle(events)
    return events
