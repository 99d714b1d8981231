"""TCP ports on the loopback address: are they free, who holds them, and give me a free one."""

import errno
import socket

import psutil

from devstack.errors import DevstackError

HOST = "127.0.0.1"


def require_free(ports: dict[str, int]) -> None:
    """Raise `DevstackError` with one line for each port of `{variable: port}` that is taken."""
    taken = [message for variable, port in ports.items() if (message := _problem(variable, port))]
    if len(set(ports.values())) < len(ports):
        same = ", ".join(f"{variable}={port}" for variable, port in ports.items())
        taken.append(f"two processes cannot share one port: {same}")
    if taken:
        raise DevstackError("\n".join(taken))


def find_free() -> int:
    """Return a port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` now."""
    return _bind_error(port) is None


def _problem(variable: str, port: int) -> str | None:
    error = _bind_error(port)
    if error is None:
        return None
    if error == errno.EADDRINUSE:
        move = f"set another with {variable}, such as `{variable}={port + 100} make run`"
        return f"port {port} is busy{_holder(port)}: {move}"
    return f"port {port} cannot be used ({errno.errorcode.get(error, error)}): set {variable}"


def _bind_error(port: int) -> int | None:
    with socket.socket() as probe:
        # As servers do: connections of an earlier run in TIME_WAIT do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.errno
    return None


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
                if connection.pid is None:  # a process of another user
                    return ""
                process = psutil.Process(connection.pid)
                command = " ".join(" ".join(process.cmdline()).split())[:80] or process.name()
                return f" (pid {connection.pid}: {command})"
    except (psutil.Error, OSError):
        pass
    return ""
