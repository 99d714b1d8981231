"""The whole stack: up in order, every part asked whether it answers; down in order.

`host.py` makes one and takes it down; `run.py` and `smoke.py` bring it up and use it.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import settings
from db import migrate, roles
from devstack import lock, mails, payment_gateways, plan, probes, secret_files, services
from devstack.background import in_thread
from devstack.errors import DevstackError
from devstack.supervisor import Supervisor
from devstack.terminal import ATTENTION, Terminal

START_SECONDS = 90
CRASHES_TOO_MANY = 3
"""Unasked ends of a process while it should come up, after which we stop hoping."""
TITLES = {
    "api": "API", "web": "Pages for people", "simulator": "Simulator of Razorpay and Stripe",
    "sink": "Mail sink",
}  # fmt: skip
HEALTH_PATHS = {
    "receiver": "/readyz", "api": "/readyz", "web": "/readyz", "flower": "/healthcheck",
    "sink": "/healthz",
}  # fmt: skip


class Stack:
    """The processes of one plan; must be made inside of a running event loop."""

    def __init__(
        self,
        the_plan: plan.Plan,
        servers: services.OwnServers,
        terminal: Terminal,
        runtime_dir: Path,
    ) -> None:
        self.plan = the_plan
        self.terminal = terminal
        self.is_up = False
        self._servers = servers
        self._endpoint = f"ipc://{runtime_dir}/circus/commands"
        self.settings = plan.apply(
            the_plan,
            database_urls=servers.database.urls if servers.database else {},
            redis_url=servers.redis.url if servers.redis else None,
        )
        self._supervisor = Supervisor(
            services.all_services(the_plan, servers),
            endpoint=self._endpoint,
            events_endpoint=f"ipc://{runtime_dir}/circus/events",
            on_death=self._tell_of_death,
        )

    async def up(self) -> None:
        """Start servers, migrate, start the processes; return when all that can answer do."""
        await self._supervisor.open()
        await self._database_up()
        await self._redis_up()
        self._write_stack_file(ready=False)
        with self.terminal.step("Migrations"):
            await in_thread(migrate.upgrade, roles.addresses(self.settings))
        await self._supervisor.start(*self.plan.commands)
        for name, port in self.plan.ports.items():
            if name not in self.plan.commands:  # a second port of a process that answers already
                continue
            with self.terminal.step(f"{_titled(name)} at {self.plan.url(name)}"):
                await self._answers(name, _http_probe(port, HEALTH_PATHS.get(name, "/")))
        self._write_stack_file(ready=True)
        self.is_up = True

    async def down(self) -> None:
        """Stop everything in order; a worker finishes its task first."""
        await self._supervisor.stop(lambda name: self.terminal.say(f"  stopping {name}"))
        # What outlived its parent: children of a worker that had to be killed.
        await in_thread(lock.end_leftovers, self.plan.data_dir)
        self.plan.stack_file.unlink(missing_ok=True)

    def log_tail(self, name: str, lines: int = 15) -> str:
        """Return the end of a process's log below its path, for an error message."""
        path = services.log_file(self.plan, name)
        try:
            tail = path.read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            tail = []
        return "\n".join([f"the end of {path}:", *(f"  {line}" for line in tail)])

    async def _database_up(self) -> None:
        if self._servers.database is None:
            await in_thread(probes.require_database, self.settings.database_url)
            return
        with self.terminal.step("PostgreSQL"):
            self._servers.database.forget_dead_server()
            await self._supervisor.start("postgres")
            await self._answers("postgres", self._servers.database.is_up)

    async def _redis_up(self) -> None:
        if self._servers.redis is None:
            await in_thread(probes.require_redis, self.settings.redis_url)
            return
        with self.terminal.step("Redis"):
            await self._supervisor.start("redis")
            await self._answers("redis", self._servers.redis.is_up)

    async def _answers(self, name: str, probe: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await in_thread(probe):
            if self._supervisor.deaths[name] >= CRASHES_TOO_MANY:
                raise DevstackError(f"{name} does not stay up; {self.log_tail(name)}")
            if time.monotonic() > deadline:
                raise DevstackError(
                    f"{name} did not answer in {START_SECONDS} s; {self.log_tail(name)}"
                )
            await asyncio.sleep(0.1)

    def _tell_of_death(self, name: str, exit_code: int) -> None:
        count = self._supervisor.deaths[name]
        if count <= CRASHES_TOO_MANY or count % 100 == 0:  # it may go on for ever
            end = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
            log = services.log_file(self.plan, name)
            message = f"{name} ended ({end}) and is started again; see {log}"
            self.terminal.say(message, mark=ATTENTION)

    def _write_stack_file(self, *, ready: bool) -> None:
        stack = {
            **{
                variable.lower(): os.environ.get(variable) or os.environ["DATABASE_URL"]
                for variable in roles.VARIABLES.values()
            },
            "redis_url": os.environ["REDIS_URL"],
            "billing_development_clock": os.environ.get(settings.CLOCK_VARIABLE, ""),
            "lead_webhook_secrets": os.environ["LEAD_WEBHOOK_SECRETS"],
            "api_keys": os.environ["API_KEYS"],
            "flower_basic_auth": os.environ[plan.FLOWER_VARIABLE],
            **{
                name.lower(): os.environ.get(name, "")
                for name in (*payment_gateways.VARIABLES, *mails.VARIABLES)
            },
            "ports": dict(self.plan.ports),
            "supervisor_pid": os.getpid(),
            "circus_endpoint": self._endpoint,
            "ready": ready,
        }
        secret_files.write(settings.stack_file(self.plan.data_dir), json.dumps(stack) + "\n")


def _titled(name: str) -> str:
    return TITLES.get(name, name.capitalize())


def _http_probe(port: int, path: str) -> Callable[[], bool]:
    return lambda: probes.http_status(port, path) == 200
