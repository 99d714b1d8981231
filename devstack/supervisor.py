"""Keeps processes running: starts, restarts for ever, stops in order. Circus, in this process.

Each process gets a session of its own, so that a Ctrl-C in the terminal reaches only us, and a
log file. Started and stopped by `stack.py`; tests stop and start single ones over the endpoint.
"""

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.watcher import Watcher
from tornado.ioloop import IOLoop

from devstack.os_user import ServerUser

CHECK_SECONDS = 0.5
"""How often a process that ended is noticed and started again."""
LOG_BYTES = 10_000_000
"""A log larger than this is put aside, as `<name>.log.1`, when the stack starts."""
LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Service:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    working_dir: Path
    log_file: Path
    stop_seconds: float
    """How long it may take to stop by itself before it is killed."""
    stop_signal: signal.Signals = signal.SIGTERM
    user: ServerUser | None = None


class Supervisor:
    """Runs services on the event loop of the caller, which must have a running one."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        endpoint: str,
        events_endpoint: str,
        on_death: Callable[[str, int], None],
    ) -> None:
        """Prepare `services`, in the order in which they will be stopped; none is started yet.

        `endpoint` takes circus commands. `on_death(name, exit_code)` is called for each unasked
        end.
        """
        self.deaths: Counter[str] = Counter()
        self._on_death = on_death
        self._watchers = {service.name: self._watcher(service) for service in services}
        self._arbiter = _Arbiter(list(self._watchers.values()), endpoint, events_endpoint)
        self._controller: Any = self._arbiter.ctrl

    async def open(self) -> None:
        """Begin to watch over what will be started, and to take commands at the endpoint."""
        await self._arbiter.start()

    async def start(self, *names: str) -> None:
        """Start services that are not running, and keep them running from now on."""
        for name in names:
            await _patiently(self._watchers[name].start)

    async def stop(self, before_each: Callable[[str], None]) -> None:
        """Stop every service that runs, one after the other, then watch no more."""
        if self._controller.caller is not None:
            self._controller.caller.stop()  # nothing is started again from here on
        for name, watcher in self._watchers.items():
            if not watcher.is_stopped():
                before_each(name)
                await _patiently(watcher.stop)
        if self._controller.started:
            self._arbiter.stop_controller_and_close_sockets()

    def _watcher(self, service: Service) -> Watcher:
        def ended(*, process_pid: int, exit_code: int, watcher: Watcher, **_: object) -> None:
            _end_session(process_pid)
            if watcher.is_active():
                self.deaths[service.name] += 1
                self._on_death(service.name, exit_code)

        _rotate(service.log_file)
        user = [str(service.user.uid), str(service.user.gid)] if service.user else ["-", "-"]
        return Watcher(
            service.name,
            sys.executable,
            args=["-S", str(LAUNCHER), str(service.log_file), *user, *service.command],
            env=service.environment,
            working_dir=str(service.working_dir),
            stop_signal=service.stop_signal,
            graceful_timeout=service.stop_seconds,
            max_retry=-1,
            autostart=False,
            hooks={"after_reap": (ended, True)},
        )


class _Arbiter(Arbiter):  # type: ignore[misc]  # circus has no types
    """Circus' arbiter, as a guest in a process that has other children and other commands."""

    def __init__(self, watchers: list[Watcher], endpoint: str, events_endpoint: str) -> None:
        super().__init__(
            watchers, endpoint, events_endpoint, check_delay=CHECK_SECONDS, loop=IOLoop.current()
        )
        # Circus takes the signals in its constructor; they are for `host.py` to decide about.
        controller: Any = self.ctrl
        controller.sys_hdl.stop()
        controller.sys_hdl = _NoSignals()

    def manage_watchers(self) -> Any:
        try:
            return super().manage_watchers()
        except ConflictError:
            # A slow stop or start of one service is under way: look again at the next tick.
            return None

    def reap_processes(self) -> None:
        # Circus waits for any child there is, and would take the exit codes of our own.
        for watcher in self.watchers:
            for pid in list(watcher.processes):
                with suppress(ChildProcessError):
                    reaped, status = os.waitpid(pid, os.WNOHANG)
                    if reaped:
                        watcher.reap_process(pid, status)


class _NoSignals:
    def stop(self) -> None:
        """Nothing was registered."""


def _rotate(log_file: Path) -> None:
    with suppress(FileNotFoundError):
        if log_file.stat().st_size > LOG_BYTES:
            log_file.replace(log_file.with_name(f"{log_file.name}.1"))


def _end_session(leader: int) -> None:
    """Kill what a process that has ended left in its session, as systemd does with its group.

    A server's children would go on to answer at its port beside the next one's.
    """
    for pid in psutil.pids():
        with suppress(OSError):
            if os.getsid(pid) == leader and pid != leader:
                os.kill(pid, signal.SIGKILL)


async def _patiently(command: Callable[[], Awaitable[Any]]) -> None:
    # Circus does one thing at a time and refuses the second instead of queueing it.
    while True:
        try:
            await command()
        except ConflictError:
            await asyncio.sleep(0.05)
        else:
            return


def log_to(path: Path) -> None:
    """Send what circus and the event loop have to say to a file, off the terminal."""
    logging.basicConfig(
        filename=path,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        level=logging.INFO,
        force=True,
    )
    logging.captureWarnings(capture=True)
