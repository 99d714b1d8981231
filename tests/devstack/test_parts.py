"""The small parts of the stack, each alone."""

import socket
from pathlib import Path

import pytest

from devstack import ports, procfile, secret_files
from devstack.errors import DevstackError


def test_procfile_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("# comment\n\nworker: celery -A a:b worker\nbeat:  run --port=${PORT:-1}\n")
    assert list(procfile.read(path).items()) == [
        ("worker", "celery -A a:b worker"),
        ("beat", "run --port=${PORT:-1}"),
    ]


@pytest.mark.parametrize("line", ["worker", "worker:", ": command", "two words: command"])
def test_procfile_that_makes_no_sense_names_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "Procfile"
    path.write_text(f"beat: command\n{line}\n")
    with pytest.raises(DevstackError, match="line 2: expected `name: command`"):
        procfile.read(path)


def test_free_port_is_free_until_somebody_listens() -> None:
    port = ports.find_free()
    ports.require_free({"RECEIVER_PORT": port})
    with socket.create_server((ports.HOST, port)):
        assert not ports.is_free(port)
        with pytest.raises(DevstackError, match=f"port {port} is busy"):
            ports.require_free({"RECEIVER_PORT": port})


def test_secret_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = secret_files.kept(path, secret_files.random_webhook_secret)
    assert secret.startswith("whsec_")
    assert secret_files.kept(path, secret_files.random_webhook_secret) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
