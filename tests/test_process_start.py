"""A process that starts on a database of another version ends with one line, as a real process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

import settings
from devstack import ports, procfile
from tests.conftest import owner


@pytest.mark.usefixtures("database", "redis")
@pytest.mark.parametrize(
    ("change", "says", "names"),
    [
        (
            "UPDATE alembic_version SET version_num = '9999'",
            "revision 9999, newer than this",
            ("receiver", "api", "worker", "beat"),
        ),
        (
            "DROP TABLE alembic_version",
            "is not migrated: run `billing migrate`",
            ("api", "web", "worker"),
        ),
    ],
)
def test_no_process_starts_on_a_database_that_is_not_the_codes(
    change: str, says: str, names: tuple[str, ...]
) -> None:
    # It takes up to 20 s: whole processes of the product are started, at the same time.
    with owner() as connection:
        connection.execute(text(change))

    started = {name: start(name) for name in names}
    for name, process in started.items():
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()

        assert process.returncode == 1, (name, output)
        assert "Traceback" not in output, name
        # Celery's own banners stand before it.
        (line,) = [line for line in output.splitlines() if "cannot start" in line]
        assert line.startswith("cannot start: the database "), name
        assert says in line, name
        assert output.endswith(f"{line}\n"), name


def start(name: str) -> "subprocess.Popen[str]":
    """Start a process of the Procfile on the test's servers."""
    command = procfile.read(settings.PROJECT_DIR / "Procfile")[name]
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "WEB_PORT": str(ports.find_free()), "WEB_SECRETS": "a" * 32,
        "API_PORT": str(ports.find_free()), "RECEIVER_PORT": str(ports.find_free()),
    }  # fmt: skip
    return subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"], env={**os.environ, **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=settings.PROJECT_DIR,
    )  # fmt: skip
