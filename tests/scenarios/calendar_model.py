"""A model of plans that uses none of the product's code; slow and simple on purpose.

A day begins at the first minute that shows its date, found minute by minute; years are counted by
writing the date; events are replayed one by one over plain sets.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

GRACE_DAYS = 15
BECOMES = {-30: "due_soon", 0: "past_due", GRACE_DAYS: "degraded"}
REMINDS = (-30, -7, -1, 0, 7, 15)
STEPS = sorted({*BECOMES, *REMINDS})


@dataclass(frozen=True)
class Paid:
    """A payment: when it was made, and when it became known to the back office."""

    made_at: datetime
    known_at: datetime


@dataclass
class Customer:
    """An account with a plan; the first payment is the purchase."""

    ref: str
    zone: str
    payments: list[Paid]


@dataclass
class Story:
    """What must be on record about a customer in the end."""

    months: dict[str, datetime] = field(default_factory=dict)
    """Month -> when its grant is written."""
    reminders: list[tuple[date, int, bool, datetime]] = field(default_factory=list)
    """(due day, days from it, superseded, when it is written)."""
    became: list[tuple[str, datetime]] = field(default_factory=list)
    """(state, since when), in their order."""
    due_on: date = date.min


@cache
def day_begins(day: date, zone: str) -> datetime:
    """The first instant of a local day, in UTC."""
    info = ZoneInfo(zone)
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    while moment.astimezone(info).date() < day:
        moment += timedelta(minutes=1)
    return moment


def day_of(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def anniversary(anchor: date, years: int) -> date:
    try:
        return date(anchor.year + years, anchor.month, anchor.day)
    except ValueError:
        return date(anchor.year + years, 2, 28)


def truly_granted(customer: Customer, until: datetime) -> list[str]:
    """The months that a customer must get, from its payments alone."""
    first, *renewals = customer.payments
    anchor, years = day_of(first.made_at, customer.zone), 1
    ends = []  # (from when on a due day holds, when its grace ends)
    ends.append((first.made_at, _grace_end(anniversary(anchor, years), customer.zone)))
    for paid in renewals:
        if paid.made_at < ends[-1][1]:
            years += 1
        else:
            anchor, years = day_of(paid.made_at, customer.zone), 1
        ends.append((paid.made_at, _grace_end(anniversary(anchor, years), customer.zone)))
    owed = [_name(day_of(first.made_at, customer.zone))]
    month = _next(day_of(first.made_at, customer.zone).replace(day=1))
    while (begins := day_begins(month, customer.zone)) <= until:
        paid_until = [end for since, end in ends if since <= begins]
        if begins < paid_until[-1]:
            owed.append(_name(month))
        month = _next(month)
    return owed


def replay(customer: Customer, ticks: Sequence[datetime]) -> Story:
    """Replay the ticks and the payments in the order in which they become known."""
    return _Life(customer).live(ticks)


class _Life:
    def __init__(self, customer: Customer) -> None:
        self.zone = customer.zone
        first, *self.renewals = customer.payments
        self.story = Story()
        self.status = "active"
        self.anchor, self.years = day_of(first.made_at, self.zone), 1
        self.done: set[int] = set()
        bought = day_of(first.made_at, self.zone).replace(day=1)
        self.story.months[_name(bought)] = first.known_at
        self.month = _next(bought)
        self.begun_at = first.known_at

    def live(self, ticks: Sequence[datetime]) -> Story:
        news = sorted(self.renewals, key=lambda paid: paid.known_at)
        start = bisect_left(ticks, self.begun_at)
        events: list[tuple[datetime, Paid | None]] = [(tick, None) for tick in ticks[start:]]
        events += [(paid.known_at, paid) for paid in news]
        for moment, paid in sorted(events, key=lambda event: event[0]):
            if paid is None:
                self.tick(moment)
            else:
                self.hear(paid)
        self.story.due_on = self.due_on
        return self.story

    @property
    def due_on(self) -> date:
        return anniversary(self.anchor, self.years)

    def tick(self, moment: datetime) -> None:
        self.take_steps(until=moment, written_at=moment, send_newest=True)
        self.grant(until=moment, written_at=moment)

    def hear(self, paid: Paid) -> None:
        self.take_steps(until=paid.made_at, written_at=paid.known_at, send_newest=False)
        self.grant(until=paid.made_at, written_at=paid.known_at)
        grace_end = _grace_end(self.due_on, self.zone)
        owed_from = paid.made_at
        if paid.made_at < grace_end:
            self.years += 1
            owed_from = grace_end
        else:
            self.anchor, self.years = day_of(paid.made_at, self.zone), 1
        back = self.month
        while day_begins(_before(back), self.zone) >= owed_from:
            back = _before(back)
        self.month = back
        self.done = set()
        if self.status != "active":
            self.status = "active"
            self.story.became.append(("active", paid.known_at))

    def take_steps(self, *, until: datetime, written_at: datetime, send_newest: bool) -> None:
        due = [
            (day_begins(self.due_on + timedelta(days=days), self.zone), days)
            for days in STEPS
            if days not in self.done
        ]
        due = [(at, days) for at, days in due if at <= until]
        reminding = [days for _, days in due if days in REMINDS]
        for at, days in due:
            self.done.add(days)
            if days in BECOMES and self.status != BECOMES[days]:
                self.status = BECOMES[days]
                self.story.became.append((self.status, at))
            if days in REMINDS:
                sent = send_newest and days == reminding[-1]
                self.story.reminders.append((self.due_on, days, not sent, written_at))

    def grant(self, *, until: datetime, written_at: datetime) -> None:
        while (begins := day_begins(self.month, self.zone)) <= until:
            if begins < _grace_end(self.due_on, self.zone):
                self.story.months.setdefault(_name(self.month), written_at)
            self.month = _next(self.month)


def _grace_end(due_on: date, zone: str) -> datetime:
    return day_begins(due_on + timedelta(days=GRACE_DAYS), zone)


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def _name(day: date) -> str:
    return f"{day:%Y-%m}"
