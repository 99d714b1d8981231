"""While the stack is up, and when it goes down: restarts for ever, an ordered stop, no orphans."""

import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from devstack import lock
from tests.stack_process import StackProcess, eventually

MakeStack = Callable[..., StackProcess]
STOP_ORDER = ["beat", "receiver", "api", "worker", "flower", "simulator", "redis", "postgres"]
SECRETS = (
    "lead_webhook_secrets", "api_keys", "flower_basic_auth", "razorpay_webhook_secrets",
    "stripe_webhook_secrets",
)  # fmt: skip


def query(stack: StackProcess, sql: str) -> object:
    with closing(psycopg2.connect(stack.addresses["database_owner_url"])) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
            return row[0] if row else None


def has_started(stack: StackProcess, name: str) -> bool:
    return "started" in (stack.data_dir / "logs" / f"{name}.log").read_text()


def assert_nothing_is_left(stack: StackProcess) -> None:
    assert stack.marked_processes() == []
    assert stack.addresses == {}
    # Nor a server that the marker does not show: both have the folder on their command line
    assert not [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] in lock.SERVERS
        and str(stack.data_dir) in " ".join(process.info["cmdline"] or [])
    ]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_all_in_order(make_stack: MakeStack, signum: signal.Signals) -> None:
    # Given a worker that needs a while to finish its task
    with make_stack(worker="slow 1.5") as stack:
        eventually("the worker runs", lambda: has_started(stack, "worker"))
        # When the stack is asked to stop
        assert stack.shut_down(signum) == 0
        # Then everything stopped in order, the worker in its own time
        lines = [line.strip() for line in stack.output.splitlines()]
        stopped = [line.split()[1] for line in lines if line.startswith("stopping ")]
        assert [name for name in stopped if name in STOP_ORDER] == STOP_ORDER
        worker_log = (stack.data_dir / "logs" / "worker.log").read_text()
        assert worker_log == "started\nfinishing\nfinished\n"
        assert_nothing_is_left(stack)


def test_second_ctrl_c_while_stopping_leaves_nothing(make_stack: MakeStack) -> None:
    with make_stack(worker="slow 2") as stack:
        eventually("the worker runs", lambda: has_started(stack, "worker"))
        for _ in range(5):
            stack.send(signal.SIGINT)
            time.sleep(0.2)
        assert stack.wait() == 0
        assert "already stopping" in stack.output
        assert "finished" in (stack.data_dir / "logs" / "worker.log").read_text()
        assert_nothing_is_left(stack)


def test_ctrl_c_while_coming_up_leaves_nothing(make_stack: MakeStack) -> None:
    stack = make_stack()
    stack.launch()
    eventually("the servers start", lambda: "PostgreSQL" in stack.output)
    assert stack.shut_down(signal.SIGINT) == 130
    assert_nothing_is_left(stack)


def test_process_that_will_not_stop_is_killed_with_its_children(make_stack: MakeStack) -> None:
    with make_stack(flower="stubborn") as stack:
        eventually("it has a child", lambda: len(_processes_of(stack, "flower")) == 2)
        started = time.monotonic()
        assert stack.shut_down() == 0
        assert time.monotonic() - started < 30
        assert_nothing_is_left(stack)


def test_children_of_a_killed_process_end_with_it(make_stack: MakeStack) -> None:
    with make_stack(worker="stubborn") as stack:
        eventually("it has a child", lambda: len(_processes_of(stack, "worker")) == 2)
        before = {process.pid for process in _processes_of(stack, "worker")}
        pid = stack.running_pid_of("worker")
        stack.kill(pid)
        stack.running_pid_of("worker", other_than=pid)
        eventually(
            "the old child is gone",
            lambda: not before & {process.pid for process in _processes_of(stack, "worker")},
        )


def test_killed_processes_come_back_for_ever(make_stack: MakeStack) -> None:
    with make_stack() as stack:
        for name in ("receiver", "worker", "simulator", "redis", "postgres") * 3:
            pid = stack.running_pid_of(name)
            stack.kill(pid)
            killed_at = time.monotonic()
            stack.running_pid_of(name, other_than=pid)
            assert time.monotonic() - killed_at < 5
        eventually("PostgreSQL answers", lambda: _answers(stack))
        assert "receiver ended (signal 9) and is started again" in stack.output


def test_one_process_can_be_stopped_and_started(make_stack: MakeStack) -> None:
    with make_stack(worker="slow 2") as stack:
        client = redis.Redis.from_url(stack.addresses["redis_url"])
        client.set("kept", "yes")
        stack.stop("redis")
        with pytest.raises(redis.ConnectionError):
            client.ping()
        stack.start("redis")
        eventually("Redis answers with its data", lambda: _get(client, "kept") == b"yes")
        client.close()
        # A slow stop of one process disturbs nobody
        stack.stop("worker")
        assert stack.pid_of("worker") is None
        stack.start("worker")
        assert stack.running_pid_of("worker")
        assert "Traceback" not in (stack.data_dir / "logs" / "supervisor.log").read_text()


def test_killed_supervisor_is_cleaned_up_after_at_the_next_start(make_stack: MakeStack) -> None:
    # Given a stack with data, whose supervisor was killed
    with make_stack(worker="stubborn") as first:
        query(first, "CREATE TABLE kept AS SELECT 42 AS answer; SELECT 1")
        secrets = {name: first.addresses[name] for name in SECRETS}
        eventually("the worker runs", lambda: has_started(first, "worker"))
        names = ("receiver", "api", "worker", "beat", "flower", "simulator", "redis", "postgres")
        orphans = [first.running_pid_of(name) for name in names]
        first.kill(first.pid)
        assert all(psutil.pid_exists(pid) for pid in orphans)
        # When it is started again
        with make_stack() as second:
            # Then the orphans are gone, and the data is there
            assert "ended a leftover of a killed stack: " in second.output
            assert not [pid for pid in orphans if psutil.pid_exists(pid)]
            assert query(second, "SELECT answer FROM kept") == 42
            assert {name: second.addresses[name] for name in SECRETS} == secrets


def test_addresses_are_for_their_owner_only(make_stack: MakeStack, data_dir: Path) -> None:
    with make_stack():
        for name in (
            "stack.json", "lead_webhook_secret", "api_key", "flower_password", "redis/redis.conf",
            "redis/password", "razorpay_webhook_secret", "stripe_webhook_secret",
        ):  # fmt: skip
            assert (data_dir / name).stat().st_mode & 0o077 == 0, name


def test_secrets_that_are_set_win_over_those_that_are_made(make_stack: MakeStack) -> None:
    mine = {"API_KEYS": "mine:0123456789abcdef", "FLOWER_BASIC_AUTH": "me:secret-of-mine"}
    with make_stack(mine) as stack:
        assert stack.addresses["api_keys"] == mine["API_KEYS"]
        assert stack.addresses["flower_basic_auth"] == mine["FLOWER_BASIC_AUTH"]
        flower = psutil.Process(stack.running_pid_of("flower")).environ()
        assert flower["FLOWER_BASIC_AUTH"] == "me:secret-of-mine"
        assert not (stack.data_dir / "api_key").exists()


def test_addresses_are_shown_with_what_opens_them(make_stack: MakeStack) -> None:
    with make_stack() as stack:
        eventually("the stack is up", lambda: "The stack is up" in stack.output)
        user, _, password = stack.addresses["flower_basic_auth"].partition(":")
        assert user == "billing"
        assert f"(user {user}, password {password})" in stack.output
        assert f":{stack.environment['API_PORT']}/docs" in stack.output
        assert f":{stack.environment['API_PORT']}/openapi.json" in stack.output


def _processes_of(stack: StackProcess, name: str) -> list[psutil.Process]:
    return [process for process in stack.marked_processes() if name in process.cmdline()]


def _answers(stack: StackProcess) -> bool:
    try:
        return query(stack, "SELECT 1") == 1
    except psycopg2.OperationalError:
        return False


def _get(client: "redis.Redis", key: str) -> object:
    try:
        return client.get(key)
    except redis.ConnectionError:
        return None
