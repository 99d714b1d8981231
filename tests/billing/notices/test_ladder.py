"""When a notice is tried again."""

from datetime import timedelta

from billing.notices import ladder


def test_ten_tries_take_about_three_days() -> None:
    waits = [ladder.wait_after(tries) for tries in range(1, 11)]
    assert waits[-1] is None, "the tenth failure is the last"
    for wait, meant in zip(waits, ladder.WAITS, strict=False):
        assert wait is not None
        assert 0.8 * meant <= wait <= 1.2 * meant
    assert sum(ladder.WAITS, timedelta(0)) == timedelta(hours=75, minutes=35, seconds=5)


def test_what_failed_together_does_not_come_back_together() -> None:
    assert len({ladder.wait_after(3) for _ in range(20)}) > 1


def test_a_receiver_may_ask_for_a_longer_wait_up_to_a_day_and_for_no_shorter_one() -> None:
    hour = timedelta(hours=1)
    assert ladder.wait_after(1, retry_after=hour) == hour
    assert ladder.wait_after(1, retry_after=100 * hour) == 24 * hour
    shortened = ladder.wait_after(9, retry_after=hour)
    assert shortened is not None
    assert shortened > 19 * hour
    assert ladder.wait_after(10, retry_after=hour) is None
