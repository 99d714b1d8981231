"""Years of plans through the real ticks, with a moved clock: the record is that of the model.

Customers in many zones buy, renew early, late, twice or not at all; the back office is away for
minutes or months, and ticks come doubled, from two beats at once. `calendar_model.py` says what
must be on record in the end.
"""

import random
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

import clock
from billing import audit, plans
from db.session import transaction
from tasks.plans import enforcement, grants
from tests.billing.given import assert_ledger_is_clean, rows
from tests.billing.plans import given as planning
from tests.billing.plans.given import PLAN, RENEWAL
from tests.scenarios import calendar_model
from tests.scenarios.calendar_model import GRACE_DAYS, Customer, Paid, anniversary, day_begins

BEGIN = datetime(2027, 11, 5, tzinfo=UTC)
"""A 29 February is in the first months."""
DAY = timedelta(days=1)
MOVES = 10
"""One customer in this many changes its zone again and again; it always renews early."""

ZONES = (
    "Etc/GMT+12", "Pacific/Pago_Pago", "Pacific/Honolulu", "Pacific/Marquesas",
    "America/Anchorage", "America/Los_Angeles", "America/Denver", "America/Chicago",
    "America/New_York", "America/Havana", "America/Santiago", "America/St_Johns",
    "America/Sao_Paulo", "America/Nuuk", "Atlantic/Azores", "Atlantic/Cape_Verde", "UTC",
    "Europe/London", "Africa/Casablanca", "Europe/Berlin", "Africa/Cairo", "Asia/Beirut",
    "Asia/Gaza", "Asia/Tehran", "Asia/Kabul", "Asia/Karachi", "Asia/Kolkata", "Asia/Kathmandu",
    "Asia/Dhaka", "Asia/Yangon", "Asia/Bangkok", "Australia/Eucla", "Asia/Tokyo",
    "Australia/Adelaide", "Australia/Lord_Howe", "Australia/Sydney", "Pacific/Norfolk",
    "Pacific/Auckland", "Pacific/Chatham", "Pacific/Kiritimati",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    accounts: int
    years: int
    tick_hours: float
    """On average."""


SIZE = Size(accounts=200, years=3, tick_hours=24.0)


@pytest.mark.timeout(0)
@pytest.mark.usefixtures("database", "redis", "many_connections")
def test_every_month_reminder_and_state_comes_once_and_at_its_time(
    pytestconfig: pytest.Config, announce: Callable[[str], None]
) -> None:
    only, number = (pytestconfig.getoption(f"--calendar-{name}") for name in ("seed", "seeds"))
    for seed in [only] if only is not None else range(1, number + 1):
        announce(f"calendar seed {seed}: repeat it with --calendar-seed={seed}")
        counts = _World(seed, SIZE).live()
        announce(", ".join(f"{what} {times:,}" for what, times in sorted(counts.items())))


class _World:
    def __init__(self, seed: int, size: Size) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.end = BEGIN + size.years * 366 * DAY
        self.outages = list(self._outages())
        self.ticks = sorted(self._ticks(size.tick_hours))
        self.customers = [self._customer(number) for number in range(size.accounts)]
        self.movers = self.customers[::MOVES]
        self.stayers = [one for one in self.customers if one not in self.movers]
        self.counts: Counter[str] = Counter()

    def live(self) -> Counter[str]:
        """Play all events in order of time, then compare the record with the model."""
        events = [*self._events()]
        for moment, _, act in sorted(events, key=lambda event: event[:2]):
            with clock.frozen(moment):
                act()
        for customer in self.stayers:
            self._check(customer)
        for customer in self.movers:
            self._check_mover(customer)
        assert_ledger_is_clean()
        self.counts["outages"] = len(self.outages)
        self.counts["ticks"] += len(self.ticks)
        return self.counts

    # What happens

    def _outages(self) -> Iterator[tuple[datetime, datetime]]:
        moment = BEGIN + 20 * DAY
        while moment < self.end:
            longest = self.random.choice((0.02, 0.5, 4, 70))
            length = DAY * self.random.uniform(0.003, longest)
            yield moment, moment + length
            moment += length + DAY * self.random.uniform(5, 120)

    def _ticks(self, hours: float) -> Iterator[datetime]:
        moment = BEGIN
        while moment < self.end:
            moment += timedelta(hours=self.random.expovariate(1 / hours), seconds=1)
            if self._up_again(moment) == moment:
                yield moment
        # Some fall on the very instant at which a month or a day begins in some zone.
        for _ in range(200):
            day = (BEGIN + DAY * self.random.randrange((self.end - BEGIN).days)).date()
            exact = day_begins(day.replace(day=self.random.choice((1, day.day))),
                               self.random.choice(ZONES))  # fmt: skip
            if exact > BEGIN and self._up_again(exact) == exact:
                yield exact

    def _up_again(self, moment: datetime) -> datetime:
        for start, end in self.outages:
            if start <= moment < end:
                return end
        return moment

    def _customer(self, number: int) -> Customer:
        zone = ZONES[number % len(ZONES)]
        bought = BEGIN + DAY * self.random.uniform(1, 150)
        if self.random.random() < 0.2:
            bought = day_begins(date(2028, 2, 29), zone) + timedelta(
                hours=self.random.uniform(0, 23)
            )
        bought = self._up_again(bought)
        payments = [Paid(bought, bought)]
        anchor, years = calendar_model.day_of(bought, zone), 1
        while True:
            due = anniversary(anchor, years)
            made = self._renews_at(due, zone, payments[-1].known_at, always=number % MOVES == 0)
            if made is None or made >= self.end:
                return Customer(f"pharmacy:{self.seed}-{number}", zone, payments)
            known = self._up_again(made + timedelta(seconds=self.random.uniform(0, 90)))
            if self.random.random() < 0.15:
                known = self._up_again(known + DAY * self.random.uniform(0, 40))
            if known >= self.end:
                return Customer(f"pharmacy:{self.seed}-{number}", zone, payments)
            payments.append(Paid(made, known))
            if made < day_begins(due + GRACE_DAYS * DAY, zone):
                years += 1
            else:
                anchor, years = calendar_model.day_of(made, zone), 1

    def _renews_at(self, due: date, zone: str, after: datetime, *, always: bool) -> datetime | None:
        grace_end = day_begins(due + GRACE_DAYS * DAY, zone)
        second = timedelta(seconds=1)
        made = self.random.choice((
            day_begins(due, zone) - DAY * self.random.uniform(31, 360),
            day_begins(due, zone) - DAY * self.random.uniform(0, 30),
            day_begins(due, zone) + DAY * self.random.uniform(0, GRACE_DAYS - 1),
            day_begins(due, zone),
            grace_end - second,
            grace_end,
            grace_end + DAY * self.random.uniform(0, 200),
            None,
        ))  # fmt: skip
        if always:
            made = day_begins(due, zone) - DAY * self.random.uniform(40, 200)
        if made is None:
            return None
        return max(made, after + timedelta(minutes=self.random.uniform(10, 100)))

    def _events(self) -> Iterator[tuple[datetime, int, Callable[[], Any]]]:
        """Yield (when, what comes first at the same moment, what is done)."""
        for customer in self.customers:
            ref, bought = customer.ref, customer.payments[0].known_at
            yield bought, 0, partial(planning.open_pharmacy, ref, timezone=customer.zone)
            yield bought, 1, partial(planning.buy, PLAN, 0, ref)
            for number, paid in enumerate(customer.payments[1:], start=1):
                yield paid.made_at, 1, partial(planning.order, RENEWAL, number, ref)
                yield paid.known_at, 2, partial(self._hear, ref, number, paid)
        for customer in self.movers:
            for _ in range(12):
                moment = customer.payments[0].known_at + DAY * self.random.uniform(0, 900)
                yield moment, 4, partial(self._move, customer, self.random.choice(ZONES))
        for tick in self.ticks:
            yield tick, 3, self._tick

    def _hear(self, ref: str, number: int, paid: Paid) -> None:
        taken = planning.pay(f"order_{ref}_{number}", RENEWAL, made_at=paid.made_at)
        assert taken.states == ["captured"]
        self.counts["renewals"] += 1

    def _move(self, customer: Customer, zone: str) -> None:
        with transaction() as session:
            plans.move_to_zone(session, customer.ref, zone)
        customer.zone = zone
        self.counts["moves"] += 1

    def _tick(self) -> None:
        """The tasks of one tick, in either order; now and then of two beats at once."""
        tasks = [grants.grant, enforcement.enforce]
        self.random.shuffle(tasks)
        beats = 2 if self.random.random() < 0.1 else 1
        if beats == 1:
            for task in tasks * self.random.choice((1, 1, 1, 2)):
                task()
            return
        self.counts["two beats at once"] += 1
        threads = [threading.Thread(target=_run, args=(list(tasks),)) for _ in range(beats)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # What must be on record

    def _check(self, customer: Customer) -> None:
        story = calendar_model.replay(customer, self.ticks)
        last_tick = self.ticks[bisect_left(self.ticks, self.end) - 1]
        assert list(story.months) == calendar_model.truly_granted(customer, last_tick)
        assert _granted(customer.ref) == list(story.months.items()), customer
        assert _reminded(customer.ref) == story.reminders, customer
        assert _became(customer.ref) == story.became, customer
        assert planning.plan(customer.ref).service_renewal_next_due == day_begins(
            story.due_on, customer.zone
        )
        self.counts["months granted"] += len(story.months)
        self.counts["reminders sent"] += sum(not gone for _, _, gone, _ in story.reminders)
        self.counts["reminders superseded"] += sum(gone for _, _, gone, _ in story.reminders)
        self.counts["states"] += len(story.became)

    def _check_mover(self, customer: Customer) -> None:
        """Each month once and none left out, wherever the customer went; it always paid in time."""
        months = [month for month, _ in _granted(customer.ref)]
        wanted = [month := date.fromisoformat(f"{months[0]}-01")]
        while len(wanted) < len(months):
            wanted.append(month := (month + timedelta(days=31)).replace(day=1))
        assert months == [f"{month:%Y-%m}" for month in wanted], customer
        assert planning.plan(customer.ref).next_grant_at > self.ticks[-1]
        self.counts["months granted to movers"] += len(months)


def _run(tasks: Sequence[Callable[[], None]]) -> None:
    with audit.asked_by("test", door="beat"):
        for task in tasks:
            task()


def _granted(ref: str) -> list[tuple[str, datetime]]:
    found = rows(
        "SELECT replace(idempotency_key, :prefix, ''), created_at FROM credit_transactions"
        " WHERE kind = 'grant' AND starts_with(idempotency_key, :prefix) ORDER BY version",
        prefix=f"grant:{ref}:",
    )
    return [(str(month), _time(at)) for month, at in found]


def _reminded(ref: str) -> list[tuple[date, int, bool, datetime]]:
    found = rows(
        "SELECT CAST(payload ->> 'due_on' AS date), CAST(payload ->> 'days' AS int),"
        "       superseded_at IS NOT NULL, created_at"
        "  FROM outbox_events WHERE topic = 'renewal.reminder' AND subject = :subject ORDER BY id",
        subject=f"account:{ref}",
    )
    return [tuple(row) for row in found]  # type: ignore[misc]  # typed by the query


def _became(ref: str) -> list[tuple[str, datetime]]:
    found = rows(
        "SELECT payload ->> 'service_renewal_status', CAST(payload ->> 'at' AS timestamptz)"
        "  FROM outbox_events WHERE subject = :subject"
        "   AND topic IN ('plan.active', 'plan.due_soon', 'plan.past_due', 'plan.degraded')"
        " ORDER BY id",
        subject=f"account:{ref}",
    )
    return [(str(state), _time(at)) for state, at in found]


def _time(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value.astimezone(UTC)
