"""How an endpoint does, as a pure function of what came of its calls."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from billing.notices import health
from billing.notices.answers import Answer
from billing.notices.health import Health
from tests.billing.notices.given import BROKEN, HANGS, START

NEW = Health("on", None, None, 0, None, 0, None)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def after_failures(count: int, answer: Answer = BROKEN, at: datetime = START) -> Health:
    known = NEW
    for _ in range(count):
        known = health.after_failure(known, answer, at=at)
    return known


@pytest.mark.parametrize("answer", [BROKEN, HANGS, Answer(429, "answered 429")])
def test_each_overload_doubles_the_pause_up_to_five_minutes(answer: Answer) -> None:
    pauses = [after_failures(n, answer).paused_until for n in range(1, 12)]
    seconds = [int((pause - START).total_seconds()) for pause in pauses if pause]
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_success_ends_the_pause_and_half_of_it_is_remembered() -> None:
    well = health.after_success(after_failures(6), at=START)
    assert (well.paused_until, well.pause_seconds, well.consecutive_failures) == (None, 16, 0)
    again = health.after_failure(well, BROKEN, at=START)
    assert again.paused_until == START + timedelta(seconds=32)


def test_a_refusal_of_one_notice_slows_nothing_but_three_in_a_row_do() -> None:
    refused = Answer(404, "answered 404")
    assert after_failures(2, refused).paused_until is None
    assert after_failures(3, refused).paused_until == START + timedelta(seconds=1)


def test_an_endpoint_that_asks_for_a_pause_gets_it_up_to_an_hour() -> None:
    for asked, given in ((5 * MINUTE, 5 * MINUTE), (24 * HOUR, HOUR)):
        slow = health.after_failure(NEW, Answer(429, "answered 429", retry_after=asked), at=START)
        assert slow.paused_until == START + given


def test_an_endpoint_fails_after_an_hour_and_is_off_after_five_days_without_success() -> None:
    failed = after_failures(1)
    assert health.after_time(failed, at=START + HOUR - MINUTE).state == "on"
    failing = health.after_time(failed, at=START + HOUR)
    assert failing.state == "failing"
    assert health.after_time(failing, at=START + timedelta(days=5) - MINUTE) == failing
    off = health.after_time(failing, at=START + timedelta(days=5))
    assert (off.state, off.state_reason) == ("off", health.NO_SUCCESS)
    assert health.after_failure(failing, BROKEN, at=START + timedelta(days=5)).state == "off"


def test_a_success_within_the_time_begins_anew() -> None:
    known = health.after_success(replace(after_failures(9), state="failing"), at=START + 2 * HOUR)
    assert (known.state, known.first_failure_at) == ("on", None)
    assert health.after_time(known, at=START + timedelta(days=9)).state == "on"


def test_gone_is_off_at_once() -> None:
    off = health.after_failure(NEW, Answer(410, "answered 410"), at=START)
    assert (off.state, off.state_reason) == ("off", health.GONE)


def test_what_is_off_stays_off_whatever_a_late_call_brings() -> None:
    off = replace(NEW, state="off", state_reason="holidays")
    assert health.after_success(off, at=START).state == "off"
    assert health.after_failure(off, BROKEN, at=START) == off
    assert health.after_time(off, at=START) == off
