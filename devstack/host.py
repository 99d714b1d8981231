"""The life of a stack in this process: lock, prepare, live through a story, stop, clean up.

`run.py` and `smoke.py` say what the story is. Nothing of the stack outlives `host`.
"""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from devstack import lock, plan, postgres, services
from devstack.stack import Stack
from devstack.supervisor import log_to
from devstack.terminal import ATTENTION, Terminal

Story = Callable[[Stack], Awaitable[int]]
"""Brings the stack up and uses it; the number is the exit code of the process."""

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RUNTIME_PREFIX = "billing-"
LONGEST_RUNTIME_DIR = 60
"""Sockets lie in it, whose paths the system limits to 107 bytes."""


def host(the_plan: plan.Plan, story: Story, terminal: Terminal) -> int:
    """Run `story` on the stack of a plan; return its exit code, with everything stopped.

    A signal ends the story: 0 when the stack was up, 130 when it was still coming up.
    """
    try:
        with _signals_interrupt(), lock.held(the_plan.data_dir):
            for leftover in lock.end_leftovers(the_plan.data_dir):
                terminal.say(f"ended a leftover of a killed stack: {leftover}", mark=ATTENTION)
            the_plan.stack_file.unlink(missing_ok=True)
            plan.require_free_ports(the_plan)
            log_to(the_plan.logs_dir / "supervisor.log")
            terminal.say(f"Starting the stack of {the_plan.data_dir}")
            with _runtime_dir(the_plan.data_dir) as runtime_dir:
                servers = services.prepare_servers(the_plan, runtime_dir)
                return asyncio.run(_live(the_plan, servers, story, terminal, runtime_dir))
    finally:
        if the_plan.throw_away:
            postgres.remove(the_plan.data_dir)
            shutil.rmtree(the_plan.data_dir, ignore_errors=True)


async def _live(
    the_plan: plan.Plan,
    servers: services.OwnServers,
    story: Story,
    terminal: Terminal,
    runtime_dir: Path,
) -> int:
    stack = Stack(the_plan, servers, terminal, runtime_dir)
    stop = asyncio.Event()
    _on_signals(stop, terminal)
    telling = asyncio.ensure_future(story(stack))
    stopping = asyncio.ensure_future(stop.wait())
    stopping.add_done_callback(lambda _: telling.cancel())
    try:
        return await telling
    except asyncio.CancelledError:
        return 0 if stack.is_up else INTERRUPTED
    finally:
        stopping.cancel()
        await stack.down()
        terminal.say("Everything is stopped.")


def _on_signals(stop: asyncio.Event, terminal: Terminal) -> None:
    def stop_once() -> None:
        again = "already stopping" if stop.is_set() else "stopping"
        terminal.say(f"\n{again}: the worker finishes its task first (30 s at most)")
        stop.set()

    for signum in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(signum, stop_once)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Make each stop signal raise, so that whatever is under way cleans up behind itself."""

    def interrupt(_signum: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, interrupt) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def _runtime_dir(data_dir: Path) -> Iterator[Path]:
    """Yield a new folder for sockets, with a path short enough for them."""
    remove_runtime_dir(data_dir)
    parent = tempfile.gettempdir()
    if len(parent) > LONGEST_RUNTIME_DIR:
        parent = "/tmp"  # noqa: S108 - mkdtemp makes a folder that is ours alone
    folder = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX, dir=parent))
    # As root, PostgreSQL's own user must reach its socket; the sockets of circus are 0700 below.
    folder.chmod(0o711)
    (folder / "circus").mkdir(mode=0o700)
    (data_dir / "runtime").symlink_to(folder)
    try:
        yield folder
    finally:
        remove_runtime_dir(data_dir)


def remove_runtime_dir(data_dir: Path) -> None:
    """Remove the folder for sockets of the last run, if one is there."""
    link = data_dir / "runtime"
    if link.is_symlink() and link.readlink().name.startswith(RUNTIME_PREFIX):
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()
