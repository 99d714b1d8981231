"""How an endpoint does: what a success, a failure and the passing of time make of it. Pure.

An endpoint whose last call failed is in trouble: it has one lane, which tries one notice, and a
pause after each failure that doubles up to five minutes. So a dead endpoint with a long backlog is
called twelve times an hour, and what waits meanwhile is not tried and keeps its attempts. The first
success ends the pause; the next failure begins at half of the last one.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing.notices.answers import Answer

FAILING_AFTER = timedelta(hours=1)
"""So long nothing but failures: operators are notified."""
OFF_AFTER = timedelta(days=5)
"""So long nothing but failures: nothing is sent any more (Svix waits as long)."""
FIRST_PAUSE_SECONDS = 1
LONGEST_PAUSE_SECONDS = 300
LONGEST_ASKED_PAUSE = timedelta(hours=1)
"""What a `Retry-After` of 429 or 503 may ask for the whole endpoint; the notice itself waits as
long as was asked, up to a day."""
REFUSALS_OF_ONE_NOTICE = 3
"""Another answer (400, 404, 301) may be about the one notice. From so many in a row on it is about
the endpoint, and slows it as an overload does."""

GONE = "it answered 410 Gone"
NO_SUCCESS = "no success for five days"


@dataclass(frozen=True, slots=True)
class Health:
    """The columns of an endpoint that calls change."""

    state: str
    state_reason: str | None
    first_failure_at: datetime | None
    consecutive_failures: int
    last_success_at: datetime | None
    pause_seconds: int
    paused_until: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether notices are sent to it."""
        return self.state in {"on", "failing"}


def after_success(health: Health, *, at: datetime) -> Health:
    """Return how it does after a notice was taken; `failing` is `on` again."""
    if not health.is_open:
        return replace(health, last_success_at=at)
    return Health("on", None, None, 0, at, health.pause_seconds // 2, None)


def after_failure(health: Health, answer: Answer, *, at: datetime) -> Health:
    """Return how it does after a call failed: slower, and perhaps failing or off."""
    if not health.is_open:
        return health
    failures = health.consecutive_failures + 1
    failed = replace(
        health,
        consecutive_failures=failures,
        first_failure_at=health.first_failure_at or at,
    )
    if answer.is_gone:
        return replace(failed, state="off", state_reason=GONE, paused_until=None)
    if answer.asks_for_less or failures >= REFUSALS_OF_ONE_NOTICE:
        failed = _slower(failed, answer, at)
    return after_time(failed, at=at)


def after_time(health: Health, *, at: datetime) -> Health:
    """Return how it does when nothing happens: failing after an hour, off after five days."""
    if not health.is_open or health.first_failure_at is None:
        return health
    lasting = at - health.first_failure_at
    if lasting >= OFF_AFTER:
        return replace(health, state="off", state_reason=NO_SUCCESS, paused_until=None)
    if lasting >= FAILING_AFTER and health.state == "on":
        return replace(health, state="failing", state_reason="no success for an hour")
    return health


def _slower(health: Health, answer: Answer, at: datetime) -> Health:
    seconds = min(max(health.pause_seconds * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
    pause = timedelta(seconds=seconds)
    if answer.retry_after is not None and answer.status in {429, 503}:
        pause = max(pause, min(answer.retry_after, LONGEST_ASKED_PAUSE))
    return replace(health, pause_seconds=seconds, paused_until=at + pause)
