"""The operating system user that PostgreSQL runs as when we are root, since it refuses root.

As an ordinary user there is nothing to do. As root, the server gets the user `pgserver`, made at
first need. No permission of any existing folder is widened for it (a checkout below a closed
home stays closed): what that user cannot reach is copied or placed below `ROOT_HOME` instead.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.errors import DevstackError

NAME = "pgserver"
ROOT_HOME = Path("/var/lib/billing-devstack")


@dataclass(frozen=True)
class ServerUser:
    """A user other than the one of this process."""

    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Return what makes `subprocess` run a command as this user, with no group of ours."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_run(self, *command: str | Path) -> bool:
        """Tell by trying: `command` starts as this user and ends with 0."""
        try:
            done = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, cwd="/", check=False,
                **self.popen_arguments(),
            )  # fmt: skip
        except OSError:
            return False
        return done.returncode == 0

    def can_write(self, folder: Path) -> bool:
        """Tell by trying: this user reaches `folder` and may write in it."""
        return self.can_run("/bin/sh", "-c", 'cd "$0" && test -w .', folder)

    def give(self, folder: Path) -> None:
        """Make this user the owner of `folder`, and nobody else able to look inside."""
        os.chown(folder, self.uid, self.gid)
        folder.chmod(0o700)


def server_user() -> ServerUser | None:
    """Return the user PostgreSQL must run as: None when our own will do."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _add_user()
    return ServerUser(entry.pw_uid, entry.pw_gid)


def owner_of(folder: Path) -> ServerUser | None:
    """Return the owner of a folder that exists, as a user to run as; None for our own."""
    status = folder.stat()
    return None if status.st_uid == os.geteuid() else ServerUser(status.st_uid, status.st_gid)


def root_home() -> Path:
    """Return the folder for what must lie outside a closed checkout, made at first need."""
    ROOT_HOME.mkdir(parents=True, exist_ok=True)
    ROOT_HOME.chmod(0o711)
    return ROOT_HOME


def copy_for_everyone(source: Path, target: Path) -> None:
    """Copy a folder of programs so that every user can run them; headers and archives stay."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"))
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def _add_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", NAME]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        return pwd.getpwnam(NAME)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        reason = str(getattr(error, "stderr", "") or error).strip()
        raise DevstackError(
            f"PostgreSQL does not run as root, and its user {NAME} could not be added ({reason}):"
            " run as an ordinary user, or set DATABASE_URL"
        ) from error
