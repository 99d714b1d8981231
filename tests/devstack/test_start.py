"""What can be wrong before the stack is up: each ends in one clear line and leaves nothing."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack import ports
from tests.stack_process import StackProcess

MakeStack = Callable[..., StackProcess]


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((ports.HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def assert_refused(stack: StackProcess) -> str:
    stack.launch()
    assert stack.wait() == 1
    assert "Traceback" not in stack.output
    assert stack.addresses == {}
    assert stack.marked_processes() == []
    return stack.output


@pytest.mark.parametrize("variable", ["RECEIVER_PORT", "SIMULATOR_PORT", "SINK_SMTP_PORT"])
def test_busy_port_is_named_with_its_holder_and_its_variable(
    make_stack: MakeStack, busy_port: int, variable: str
) -> None:
    # Given a port that another process (we) listens on
    stack = make_stack({variable: str(busy_port)})
    # When the stack is started, then it is refused in one line that says what to do
    output = assert_refused(stack)
    assert output.count("\n") == 1
    assert f"port {busy_port} is busy (pid {os.getpid()}: " in output
    assert f"{variable}={busy_port + 100} make run" in output


def test_two_processes_on_one_port(make_stack: MakeStack) -> None:
    port = str(ports.find_free())
    output = assert_refused(make_stack({"RECEIVER_PORT": port, "FLOWER_PORT": port}))
    assert "two processes cannot share one port" in output


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RECEIVER_PORT", "abc"),
        ("FLOWER_PORT", "70000"),
        ("API_PORT", "0"),
        ("SIMULATOR_PORT", "abc"),
        ("API_KEYS", "ops:short"),
        ("REDIS_URL", "http://localhost"),
        ("DATABASE_URL", "mysql://localhost/billing"),
        ("LEAD_WEBHOOK_SECRETS", "secret"),
    ],
)
def test_variable_that_makes_no_sense_is_named(
    make_stack: MakeStack, variable: str, value: str
) -> None:
    output = assert_refused(make_stack({variable: value}))
    assert output.startswith(f"error: {variable}: ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/billing"),
        ("REDIS_URL", "redis://127.0.0.1:1/0"),
    ],
)
def test_server_of_ones_own_that_is_not_there(
    make_stack: MakeStack, variable: str, value: str
) -> None:
    output = assert_refused(make_stack({variable: value}))
    assert f"error: {variable} is set, but cannot be used: " in output


def test_owner_of_a_database_that_is_not_named(make_stack: MakeStack) -> None:
    # Else the embedded database would be used, and another one migrated
    output = assert_refused(make_stack({"DATABASE_OWNER_URL": "postgresql://ops@db/billing"}))
    assert "error: DATABASE_OWNER_URL is set and DATABASE_URL is not" in output


def test_process_that_cannot_start_shows_the_end_of_its_log(make_stack: MakeStack) -> None:
    output = assert_refused(make_stack(receiver="broken"))
    assert "receiver does not stay up; the end of " in output
    assert "receiver cannot start: its reason" in output


def test_second_stack_on_the_same_folder_is_refused(make_stack: MakeStack) -> None:
    with make_stack() as first:
        second = make_stack()
        second.launch()
        assert second.wait() == 1
        assert f"is already running (pid {first.pid})" in second.output
        # And the first one goes on
        assert first.addresses["supervisor_pid"] == first.pid
        assert first.running_pid_of("receiver")


def test_folder_that_cannot_be_used(make_stack: MakeStack, data_dir: Path) -> None:
    stack = make_stack()
    (data_dir / "file").write_text("")
    stack.environment["BILLING_DATA_DIR"] = str(data_dir / "file" / "data")
    assert "set BILLING_DATA_DIR to a folder of yours" in assert_refused(stack)


def test_data_path_that_is_too_long_for_a_socket(make_stack: MakeStack, data_dir: Path) -> None:
    stack = make_stack()
    stack.data_dir = data_dir / ("long-" * 25)
    stack.environment["BILLING_DATA_DIR"] = str(stack.data_dir)
    with stack:
        assert "/billing?host=" in stack.addresses["database_url"]


def test_standard_streams_may_be_closed(make_stack: MakeStack) -> None:
    # Given a supervisor started as by cron: no stdin, no stdout, no stderr
    stack = make_stack()
    command = 'exec "$0" -m devstack run "$@" <&- >&- 2>&-'
    stack.process = subprocess.Popen(
        ["/bin/sh", "-c", command, sys.executable, *stack.arguments],
        env=stack.environment,
        start_new_session=True,
    )
    stack.output_file.write_text("")
    # Then it comes up and goes down as ever
    stack.wait_until_ready()
    assert stack.shut_down() == 0
    assert stack.marked_processes() == []
