"""Reads the Procfile: the one place where the command of each process stands."""

from pathlib import Path

from devstack.errors import DevstackError


def read(path: Path) -> dict[str, str]:
    """Return `{name: command}` in the order of the file (`name: command` lines, `#` comments)."""
    commands: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, command = (part.strip() for part in line.partition(":"))
        if not (name.isidentifier() and colon and command):
            raise DevstackError(f"{path}, line {number}: expected `name: command`, found: {line}")
        commands[name] = command
    return commands
