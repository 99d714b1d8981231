"""Where each process listens, and Flower's passwords: judged by the process that needs them.

A wrong API_PORT stops the API, and neither the workers nor the receiver. Called by each server at
its start, and by the development stack.
"""

import os
import re
from dataclasses import dataclass, field

from settings import lists
from settings.errors import SettingsError

LOOPBACK = "127.0.0.1"
PORTS = {
    "receiver": 8000, "api": 8001, "web": 8002, "flower": 5555, "simulator": 8009,
    "sink": 8025, "sink_smtp": 1025,
}  # fmt: skip
"""Process -> the port it listens on unless `<PROCESS>_PORT` says otherwise."""
FLOWER_VARIABLE = "FLOWER_BASIC_AUTH"
FLOWER_PASSWORD_MIN_LENGTH = 8


@dataclass(frozen=True)
class Listener:
    """The address that a process listens on."""

    host: str
    port: int


@dataclass(frozen=True)
class Login:
    """Who may look at Flower."""

    user: str
    password: str = field(repr=False)


def listener(process: str) -> Listener:
    """Return where `process` listens. Raises `SettingsError` if its port is none."""
    variable = f"{process.upper()}_PORT"
    text = os.environ.get(variable, "").strip()
    if not text or is_service_link(variable, text):
        text = str(PORTS[process])
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise SettingsError(f"{variable}: must be a number from 1 to 65535")
    host = os.environ.get(f"{process.upper()}_HOST", "").strip()
    return Listener(host or LOOPBACK, int(text))


def is_service_link(variable: str, value: str) -> bool:
    """Return whether it is not a setting but the address of a Kubernetes service of that name.

    Every pod gets one of every service (kubernetes.io/docs/concepts/services-networking/service,
    "Environment variables"): such a value counts as not set.
    """
    ours = variable.upper() in {f"{process.upper()}_PORT" for process in PORTS}
    return ours and value.strip().startswith(("tcp://", "udp://"))


def flower_logins() -> tuple[Login, ...]:
    """Return the logins of FLOWER_BASIC_AUTH; none: Flower asks for none.

    Raises `SettingsError`. Flower compares ASCII only.
    """
    text = os.environ.get(FLOWER_VARIABLE, "").strip()
    try:
        entries = lists.split(text)
    except ValueError as error:
        raise SettingsError(f"{FLOWER_VARIABLE}: {error}") from None
    if text and not entries:  # nobody means to open Flower to everybody by that
        raise SettingsError(f"{FLOWER_VARIABLE}: has no entry: write user:password, or unset it")
    logins = []
    for position, entry in enumerate(entries, start=1):
        user, _, password = entry.partition(":")
        if not user or len(password) < FLOWER_PASSWORD_MIN_LENGTH or not _is_typed(entry):
            raise SettingsError(
                f"{FLOWER_VARIABLE}: entry {position} must be user:password in ASCII, the password"
                f" at least {FLOWER_PASSWORD_MIN_LENGTH} characters{lists.IF_COMMA}"
            )
        logins.append(Login(user, password))
    return tuple(logins)


def _is_typed(text: str) -> bool:
    return text.isascii() and text.isprintable()
