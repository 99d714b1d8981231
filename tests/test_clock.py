"""The clock: the file that a process follows, and what happens if the file is damaged."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import clock
from clock import ClockError

YEAR = timedelta(days=365)
SOON = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def follow_nothing_else() -> Iterator[None]:
    yield
    clock.follow(None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clock.json"


def ahead() -> timedelta:
    """How far time is ahead, in whole days: the time that a test takes does not matter."""
    return timedelta(days=round((clock.now() - clock.real_now()) / timedelta(days=1)))


def test_a_process_that_follows_no_file_has_the_real_time(file: Path) -> None:
    clock.write_ahead(file, YEAR)
    assert abs(clock.now() - datetime.now(UTC)) < SOON  # noqa: TID251


def test_a_process_that_follows_a_file_is_as_far_ahead_as_it_says(file: Path) -> None:
    # Given a process that began to follow before there was a file
    clock.follow(file)
    assert ahead() == timedelta(0)
    # When the file is written, and when it is replaced
    for moved in (YEAR, YEAR + timedelta(days=1), 2 * YEAR):
        clock.write_ahead(file, moved)
        # Then the next reading of the time follows it
        assert ahead() == moved
    # And a process that begins to follow now is as far ahead
    clock.follow(file)
    assert ahead() == 2 * YEAR


def test_a_fraction_of_a_second_is_not_lost(file: Path) -> None:
    for moved in (timedelta(microseconds=1), clock.MOST_AHEAD, YEAR + timedelta(microseconds=7)):
        clock.write_ahead(file, moved)
        assert clock.read_ahead(file) == moved


def test_a_frozen_clock_stays_where_it_is(file: Path) -> None:
    clock.write_ahead(file, YEAR)
    clock.follow(file)
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    with clock.frozen(noon):
        assert clock.now() == clock.real_now() == noon


GARBAGE = [
    b"", b"{", b"[]", b"null", b"5", b'{"offset": 5}', b'{"offset_seconds": "5"}', b"\xff\x00",
    b'{"offset_seconds": true}', b'{"offset_seconds": -1}', b'{"offset_seconds": NaN}',
    b'{"offset_seconds": 1e300}', b'{"offset_seconds": Infinity}', b"[" * 100_000,
    b'{"offset_seconds": 3155760001}', b'{"offset_seconds": ' + b"9" * 5_000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("content", GARBAGE, ids=lambda content: str(content[:30]))
def test_a_damaged_file_is_refused_by_name_at_the_start(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ClockError) as caught:
        clock.follow(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [*GARBAGE, None], ids=lambda content: str(content)[:30])
def test_a_file_damaged_later_leaves_time_as_it_is_and_is_logged_once(
    file: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a process that is a year ahead
    clock.write_ahead(file, YEAR)
    clock.follow(file)
    # When its file is damaged, or gone
    with caplog.at_level(logging.ERROR):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        # Then time stays a year ahead, and one line is logged
        assert [ahead() for _ in range(5)] == [YEAR] * 5
    (line,) = caplog.messages
    assert str(file) in line
    assert "365 days" in line
    # And a repaired file is followed again
    clock.write_ahead(file, 2 * YEAR)
    assert ahead() == 2 * YEAR


def test_a_file_that_cannot_be_read_or_written_is_a_clock_error(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ClockError, match=r"cannot be read \(Is a directory\)"):
        clock.follow(file)
    with pytest.raises(ClockError, match="cannot be written"):
        clock.write_ahead(file / "none" / "clock.json", YEAR)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
