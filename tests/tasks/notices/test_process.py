"""The process of notices as it runs: killed, cut off from its servers, stopped, kept waiting."""

import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

import clock
import settings
from db import connections, migrate, outbox, roles
from db.outbox import NewNotice
from db.session import transaction
from devstack import postgres
from tasks.plumbing import nudges
from tests.billing.given import open_account, rows
from tests.billing.notices import given
from tests.billing.notices.given import WEB_SECRET
from tests.stack_process import eventually
from tests.tasks.notices.platforms import Platforms, Received
from tests.worker_process import WorkerProcess
from worker.app import app

ACCOUNTS = ("clinic:1", "clinic:2", "clinic:3")


class Server:
    """A PostgreSQL of this test alone, which can be restarted."""

    def __init__(self, data_dir: Path) -> None:
        self.prepared = postgres.prepare(data_dir, socket_dir=data_dir / "socket")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        user = self.prepared.user
        self._process = subprocess.Popen(
            [*self.prepared.command, "--fsync=off"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
            **(user.popen_arguments() if user else {}),
        )  # fmt: skip
        eventually("PostgreSQL is up", self.prepared.is_up)

    def restart(self) -> None:
        self.stop()
        self.start()
        connections.engine().dispose()  # this process' own lead nowhere now

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)


@pytest.fixture
def server(clock_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="billing-test-") as folder:
        data_dir = Path(folder)
        data_dir.chmod(0o711)
        made = Server(data_dir)
        made.start()
        for variable, url in {**made.prepared.urls, "WEB_SECRETS": WEB_SECRET}.items():
            monkeypatch.setenv(variable, url)
        forget()
        migrate.upgrade(roles.addresses(settings.get()))
        yield made
        connections.engine().dispose()
        made.stop()
        postgres.remove(data_dir)
    monkeypatch.undo()
    forget()


def forget() -> None:
    settings.get.cache_clear()
    connections.engine.cache_clear()


def endpoint(platforms: Platforms, path: str, **more: Any) -> int:
    return given.endpoint(platforms.url(path), **more)


@contextmanager
def ticking() -> Iterator[None]:
    """Send the tick again and again, as beat does, only faster."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.5):
            with suppress(Exception):
                app.send_task(nudges.NOTICES_TASK, expires=300)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def later(clock_file: Path, by: timedelta) -> None:
    clock.write_ahead(clock_file, clock.read_ahead(clock_file) + by)


def write(number: int, account: str) -> int:
    """One notice that is committed, among such that are rolled back or superseded; its id."""
    with transaction() as session:
        row = notices_of(account, number)
        outbox.write(session, [row], now=clock.now())
        outbox.write(session, [_superseded(row)], now=clock.now())
    with pytest.raises(ZeroDivisionError), transaction() as session:
        outbox.write(session, [row], now=clock.now())
        raise ZeroDivisionError
    found = rows("SELECT max(id) FROM outbox_events WHERE superseded_at IS NULL")
    return int(str(found[0][0]))


def notices_of(account: str, number: int) -> NewNotice:
    account_id = int(account.removeprefix("clinic:"))
    payload = {"lead_id": f"L-{number}", "credits": 180}
    return NewNotice("lead.parked", f"lead:L-{number}", account_id, payload)


def _superseded(row: NewNotice) -> NewNotice:
    return NewNotice(row.topic, row.subject, row.account_id, row.payload, superseded=True)


class Storm:
    """What the platforms do while all is hurt, and what they took."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.taken: dict[str, list[Received]] = defaultdict(list)
        self.blow: Callable[[], object] | None = None
        """Dealt by the next call to `plain`, between its coming and its answer."""

    def plain(self, call: Received) -> int:
        """Take everything; a blow falls before the answer."""
        blow, self.blow = self.blow, None
        if blow is not None:
            blow()
        self.taken[call.path].append(call)
        return 200

    def flaky(self, call: Received) -> int:
        """Fail every third call or so."""
        if self._chance.random() < 0.35:
            return self._chance.choice([500, 429, 404])
        self.taken[call.path].append(call)
        return 200


@pytest.mark.timeout(180)
def test_each_notice_comes_at_least_once_whatever_is_killed_flushed_or_restarted(
    server: Server, platforms: Platforms, redis: Redis, clock_file: Path, tmp_path: Path
) -> None:
    """Takes half a minute: a database server of its own, two workers, and what they recover."""
    # Given a platform that works, one that fails at times, and one that wants its order and fails
    for account in ACCOUNTS:
        open_account(account)
    storm = Storm(seed=16)
    platforms.behaviours = {
        "plain": storm.plain, "flaky": storm.flaky, "ordered": storm.flaky,
    }  # fmt: skip
    for path in platforms.behaviours:
        endpoint(platforms, path, ordered=path == "ordered")
    log = tmp_path / "notices.log"
    written: list[int] = []

    def write_some() -> None:
        written.extend(write(len(written) + n, ACCOUNTS[(len(written) + n) % 3]) for n in range(8))

    def struck(blow: Callable[[], object]) -> None:
        """Write notices, and let the blow fall while one of them is being called."""
        all_written, fallen = threading.Event(), threading.Event()

        def fall() -> None:
            all_written.wait(10)  # a tick may send the first before the last is there
            blow()
            fallen.set()

        storm.blow = fall
        write_some()
        all_written.set()
        nudges.send_notices()
        eventually("the blow has fallen", fallen.is_set)

    with ticking():
        # When the workers are killed between a call and its row
        with WorkerProcess(log, name="notices", NOTICE_PROCESSES="2") as worker:
            struck(worker.kill)
        with WorkerProcess(log, name="notices", NOTICE_PROCESSES="2"):
            later(clock_file, timedelta(seconds=61))  # a lease
            # And Redis is emptied, and PostgreSQL restarted, while calls are under way
            struck(redis.flushall)
            struck(server.restart)
            write_some()
            # And time goes on

            def all_done() -> bool:
                later(clock_file, timedelta(minutes=10))
                time.sleep(0.5)
                return not rows(
                    "SELECT 1 FROM outbox_events WHERE position IS NULL AND superseded_at IS NULL"
                    " UNION ALL SELECT 1 FROM notice_deliveries WHERE state = 'pending'"
                )

            eventually("all is done", all_done, seconds=90)
    # Then every notice that was committed came to each of them, and nothing else
    wanted = {f"ntc_{notice}" for notice in written}
    assert len(wanted) == 32
    for path, ids in platforms.ids().items():
        assert set(ids) == wanted, path
        assert {call.notice_id for call in storm.taken[path]} == wanted, path
    assert rows("SELECT DISTINCT state FROM notice_deliveries") == [("done",)]
    # And always under the same id with the same bytes: what the kill cut off came again
    assert len({(call.notice_id, call.body) for call in platforms.received}) == 32
    assert len(platforms.at("plain")) > 32
    # And in its order where that is promised, each account by itself
    for account in ACCOUNTS:
        seen = [c.data["sequence"] for c in storm.taken["ordered"] if c.data["account"] == account]
        first = list(dict.fromkeys(seen))
        assert first == sorted(first) == list(range(1, len(first) + 1))


@pytest.mark.timeout(120)
def test_thirty_of_a_hundred_that_hang_delay_no_other_and_a_stop_gives_back_what_is_not_begun(
    books: None, platforms: Platforms, redis: Redis, tmp_path: Path
) -> None:
    """Takes ten seconds: a worker comes up and goes down again."""

    def slowly(_: Received) -> int:
        time.sleep(0.4)
        return 200

    def calls_of(kind: str) -> list[Received]:
        return [call for call in list(platforms.received) if call.path.startswith(kind)]

    # Given a hundred platforms of which thirty hang, and one that is slow
    account = open_account()
    goes_on = threading.Event()
    for number in range(100):
        path = f"hangs-{number}" if number < 30 else f"works-{number}"
        endpoint(platforms, path, topics=("plan.*",))
        if number < 30:
            platforms.behaviours[path] = lambda _: 500 + goes_on.wait(20)
    endpoint(platforms, "slow", topics=("lead.*",), ordered=True)
    platforms.behaviours["slow"] = slowly
    with WorkerProcess(tmp_path / "notices.log", name="notices") as worker:
        # When something happens while they hang
        for number in range(3):
            given.write(account, topic="plan.degraded", plan_id=number)
            nudges.send_notices()
            time.sleep(0.3)
        # Then the others hear of it before any of those is given up
        eventually("the others have it", lambda: len(calls_of("works")) == 3 * 70, seconds=10)
        assert len(calls_of("hangs")) <= 60
        # When the worker is stopped while it is at the slow one
        given.write(*[account] * 20, lead_id="L-1", credits=180)
        nudges.send_notices()
        eventually("it is under way", lambda: len(platforms.at("slow")) > 1)
        goes_on.set()
        worker.process.terminate()
        worker.process.wait(30)
    # Then it ended with the call that it was in, and what it had not begun is due as before
    done = len(platforms.at("slow"))
    assert done < 10
    slow = rows(
        "SELECT state, attempts FROM notice_deliveries d JOIN outbox_events o ON o.id = d.notice_id"
        " WHERE topic = 'lead.parked' ORDER BY d.position"
    )
    assert slow == [("done", 1)] * done + [("pending", 0)] * (20 - done)
    assert rows("SELECT 1 FROM notice_lanes WHERE lease_id IS NOT NULL") == []
