"""`billing clock`: forward only, in development only, and a year that is watched."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

import clock
import settings
from billing.ledger import Kind
from tasks.plumbing import ticks
from tests.billing.given import assert_ledger_is_clean, balance, give, open_account, post_all
from tests.cli.runner import Ran, process, run
from tests.worker_process import WorkerProcess

pytestmark = pytest.mark.usefixtures("database")

DAY = 24 * 60 * 60
SOON = timedelta(minutes=2)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The development clock of this process and of those that it starts."""
    path = tmp_path / "clock.json"
    monkeypatch.setenv("BILLING_DEVELOPMENT_CLOCK", str(path))
    settings.get.cache_clear()
    yield path
    clock.follow(None)
    settings.get.cache_clear()


def offset(path: Path) -> float:
    found: float = json.loads(path.read_text())["offset_seconds"]
    return found


def at(ran: Ran) -> datetime:
    return datetime.fromisoformat(ran.json["time"])


@pytest.mark.parametrize(
    "arguments", [["show"], ["advance", "1d"], ["to", "2030-01-01"], ["watch", "--seconds", "1"]]
)
def test_outside_development_each_is_refused_with_the_reason(arguments: list[str]) -> None:
    error = run("clock", *arguments).error
    assert "in development only" in error
    assert "`make run`" in error
    assert "unset DATABASE_URL" in error


def test_a_live_key_is_never_moved_in_time(file: Path) -> None:
    environment = {"STRIPE_API_KEY": "sk_live_123"}
    error = run("clock", "advance", "1d", environment=environment).error
    assert "BILLING_DEVELOPMENT_CLOCK: time cannot be moved while a gateway's key is live" in error
    assert not file.exists()


def test_it_shows_the_time_here_and_in_the_world(file: Path) -> None:
    # Given a stack whose time was never moved
    shown = run("clock", "show", "--json").json
    assert (shown["offset_seconds"], shown["file"]) == (0, str(file))
    assert shown["time"] == shown["real_time"]
    assert not file.exists()
    # When it was moved
    run("clock", "advance", "400d")
    # Then both times are shown
    shown = run("clock", "show", "--json").json
    moved, real = (datetime.fromisoformat(shown[name]) for name in ("time", "real_time"))
    assert moved - real == timedelta(days=400)
    assert "400 days, 0:00:00" in run("clock", "show").out


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        ("30d", 30 * DAY),
        ("12h", DAY / 2),
        ("90m", 5_400),
        ("1w", 7 * DAY),
        ("1d12h", 1.5 * DAY),
        ("1w2d3h4m5s", 9 * DAY + 3 * 3_600 + 4 * 60 + 5),
    ],
)
def test_it_advances_by_a_span(file: Path, span: str, seconds: float) -> None:
    run("clock", "advance", "1h")
    assert run("clock", "advance", span, "--json").json["offset_seconds"] == 3_600 + seconds
    assert offset(file) == 3_600 + seconds


@pytest.mark.parametrize("span", ["", "d", "1", "1x", "-1d", "1.5d", "1h1d", "1d 1h", "٣d", "1d\n"])
def test_what_is_no_span_is_wrong_usage(file: Path, span: str) -> None:
    ran = run("clock", "advance", "--", span)
    assert ran.exit_code == 2
    assert not file.exists()


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ("0d", "time does not go back"),
        ("9999999h", "at most a hundred years ahead"),
        ("9999999w9999999d", "at most a hundred years ahead"),
    ],
)
def test_no_further_than_time_goes(file: Path, span: str, message: str) -> None:
    assert message in run("clock", "advance", span).error
    assert not file.exists()


def test_a_hundred_years_are_enough(file: Path) -> None:
    run("clock", "advance", "36525d")
    assert "at most a hundred years ahead" in run("clock", "advance", "1s").error
    assert offset(file) == 36_525 * DAY


@pytest.mark.parametrize(
    ("moment", "is_then"),
    [
        ("2093-03-01", "2093-02-28T18:30:00+00:00"),
        ("2093-03-01T09:30", "2093-03-01T04:00:00+00:00"),
        ("2093-03-01T09:30+01:00", "2093-03-01T08:30:00+00:00"),
        ("2093-03-01T09:30:00Z", "2093-03-01T09:30:00+00:00"),
    ],
)
def test_it_moves_to_a_moment_in_the_houses_zone(file: Path, moment: str, is_then: str) -> None:
    assert at(run("clock", "to", moment, "--json")) == datetime.fromisoformat(is_then)
    now = at(run("clock", "show", "--json"))
    assert timedelta(0) <= now - datetime.fromisoformat(is_then) < SOON


def test_time_does_not_go_back(file: Path) -> None:
    # Given a stack that is a year ahead
    run("clock", "advance", "365d")
    before = offset(file)
    tomorrow = (clock.real_now() + timedelta(days=1)).isoformat()
    # When it is to go to a day that is over there, if not in the world
    error = run("clock", "to", tomorrow).error
    # Then it is refused
    assert "it is already 2" in error
    assert "time does not go back" in error
    assert offset(file) == before


@pytest.mark.parametrize("moment", ["", "tomorrow", "2093-02-30", "0001-01-01", "9999-12-31"])
def test_what_is_no_moment_is_wrong_usage(file: Path, moment: str) -> None:
    assert run("clock", "to", moment).exit_code == 2
    assert not file.exists()


def test_a_file_that_makes_no_sense_is_one_line_that_names_it(file: Path) -> None:
    file.write_text("{")
    for arguments in (["clock", "show"], ["clock", "advance", "1d"], ["accounts", "list"]):
        error = process(*arguments).error
        assert f"the development clock {file} cannot be read (it is not JSON)" in error
        assert "delete it together with the data of this stack" in error
    assert file.read_text() == "{"


def test_of_many_that_move_it_at_once_none_is_lost(file: Path) -> None:
    # Given eight operators
    ready = threading.Barrier(8)

    def advance() -> None:
        ready.wait()
        assert process("clock", "advance", "1d").exit_code == 0

    threads = [threading.Thread(target=advance) for _ in range(8)]
    # When all advance the clock at once
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Then it is ahead by the sum
    assert offset(file) == pytest.approx(8 * DAY, abs=60)
    assert [path.name for path in file.parent.iterdir() if "clock" in path.name] == [file.name]


@pytest.fixture
def worker(file: Path, database: str, redis: Redis, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(tmp_path / "worker.log") as running:
        yield running


def give_for(days: int, amount: int, account: str) -> None:
    until = clock.now() + timedelta(days=days)
    post_all(
        give(amount, key=f"{account}:{days}", account=account, kind=Kind.GRANT, expires_at=until)
    )


def test_what_the_calendar_brings_is_watched(worker: WorkerProcess, file: Path) -> None:
    # Given credit of two accounts that expires in ten and in twenty days
    for ref in ("clinic:42", "clinic:43"):
        open_account(ref)
        give_for(10, 100, ref)
        give_for(20, 250, ref)
        give_for(50, 1, ref)
    # When thirty days are watched, of one of them
    ran = run("clock", "watch", "--days", "30", "--seconds", "1", "--account", "clinic:42")
    # Then each expiry is shown once, in its order, on its day
    assert ran.exit_code == 0, ran.err
    lines = [line for line in ran.out.splitlines() if "ledger.expiry" in line]
    assert ["amount=-100" in lines[0], "amount=-250" in lines[1], len(lines)] == [True, True, 2]
    assert "clinic:43" not in ran.out
    days = [datetime.fromisoformat(line[:16]) for line in lines]
    assert timedelta(days=9) < days[1] - days[0] < timedelta(days=12)
    # And at the end how many there were, and of how much
    assert "balance.exhausted" not in ran.out
    assert "350" in ran.out
    # And nothing was lost or doubled
    assert [balance(ref) for ref in ("clinic:42", "clinic:43")] == [1, 1]
    assert offset(file) == pytest.approx(30 * DAY, abs=60)
    assert_ledger_is_clean()


def test_a_name_is_shown_as_it_is(worker: WorkerProcess) -> None:
    # Given an account whose name holds what a terminal could take for a picture
    open_account("one:1")
    give_for(1, 100, "one:1")
    ran = run("clock", "watch", "--days", "2", "--seconds", "1")
    assert "account:one:1  amount=-100  balance=0" in ran.out


def test_a_machine_reads_the_totals_of_all_accounts(worker: WorkerProcess) -> None:
    for ref in ("clinic:42", "clinic:43"):
        open_account(ref)
        give_for(3, 100, ref)
    shown = run("clock", "watch", "--days", "5", "--seconds", "1", "--json").json
    assert (shown["credits_granted"], shown["credits_expired"]) == (0, 200)
    assert shown["topics"] == {"balance.exhausted": 2}
    start, end = (datetime.fromisoformat(shown[name]) for name in ("from", "to"))
    assert timedelta(days=5) <= end - start < timedelta(days=5) + SOON


def test_an_account_that_is_not_there_moves_nothing(file: Path) -> None:
    assert "unknown account" in run("clock", "watch", "--account", "clinic:none").error
    assert not file.exists()


def test_workers_that_are_not_there_end_the_watching(
    file: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.clock.PATIENCE_SECONDS", 0.3)
    error = run("clock", "watch", "--days", "10", "--seconds", "1").error
    assert "check that the worker runs" in error
    # And time stays where it was then
    assert 0 < offset(file) < 2 * DAY


def test_ticks_that_ask_gateways_or_verify_the_ledger_are_left_to_beat(redis: Redis) -> None:
    ticks.send_all()
    sent = {
        json.loads(message)["headers"]["task"]
        for queue in ticks.QUEUES
        for message in redis.lrange(queue, 0, -1)
    }
    assert {"tasks.ledger.expire", "tasks.inbox.sweep", "tasks.leads.release"} <= sent
    assert not sent & ticks.NOT_SENT
