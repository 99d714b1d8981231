"""The processes of the stack, as the supervisor takes them: in the order of their stop."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import settings
from devstack import plan, postgres, redis_server
from devstack.os_user import ServerUser
from devstack.supervisor import Service

STOP_SECONDS = {
    "beat": 2, "receiver": 3, "api": 2, "web": 1, "worker": 16, "flower": 1, "simulator": 0.5,
    "sink": 0.5, "redis": 2, "postgres": 3,
}  # fmt: skip
"""How long each may take to stop before it is killed; together they stay below 30 seconds."""
STOP_SECONDS_OTHERS = 2
STOP_FIRST = ("beat", "receiver", "api", "web")
"""Nothing new comes in; then the worker finishes what it has; the servers go last."""


@dataclass(frozen=True)
class OwnServers:
    """The embedded servers of this stack; None if a person's own is used."""

    database: postgres.Postgres | None
    redis: redis_server.RedisServer | None


def prepare_servers(the_plan: plan.Plan, runtime_dir: Path) -> OwnServers:
    """Make the data of the embedded servers if it does not exist (a second, once)."""
    return OwnServers(
        database=postgres.prepare(the_plan.data_dir, socket_dir=runtime_dir / "postgres")
        if the_plan.own_database
        else None,
        redis=redis_server.prepare(the_plan.data_dir) if the_plan.own_redis else None,
    )


def all_services(the_plan: plan.Plan, servers: OwnServers) -> list[Service]:
    """Return every process, to be called when the environment is complete (`plan.apply`)."""
    first = [name for name in STOP_FIRST if name in the_plan.commands]
    apps = first + [name for name in the_plan.commands if name not in first]
    services = [
        _service(the_plan, name, ["/bin/sh", "-c", f"exec {the_plan.commands[name]}"])
        for name in apps
    ]
    if servers.redis:
        services.append(_service(the_plan, "redis", servers.redis.command))
    if servers.database:
        # SIGINT is PostgreSQL's fast shutdown: it ends connections instead of waiting for them.
        services.append(
            _service(
                the_plan, "postgres", servers.database.command, signal.SIGINT, servers.database.user
            )
        )
    return services


def log_file(the_plan: plan.Plan, name: str) -> Path:
    """Return the log file of a process."""
    return the_plan.logs_dir / f"{name}.log"


def _service(
    the_plan: plan.Plan,
    name: str,
    command: Sequence[str],
    stop_signal: signal.Signals = signal.SIGTERM,
    user: ServerUser | None = None,
) -> Service:
    return Service(
        name=name,
        command=command,
        environment=plan.environment_of_child(the_plan, name, Path(sys.executable)),
        # Another user may not be able to enter the checkout.
        working_dir=Path("/") if user else settings.PROJECT_DIR,
        log_file=log_file(the_plan, name),
        stop_seconds=STOP_SECONDS.get(name, STOP_SECONDS_OTHERS),
        stop_signal=stop_signal,
        user=user,
    )
