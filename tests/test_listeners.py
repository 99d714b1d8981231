"""A value that only a listener needs stops that listener, as a real process, and no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import settings


@pytest.mark.parametrize(
    ("module", "variable", "value"),
    [
        ("api", "API_PORT", "http"),
        ("webhook_receiver", "RECEIVER_PORT", "65536"),
        ("worker.flower", "FLOWER_PORT", "0"),
        ("worker.flower", "FLOWER_BASIC_AUTH", "ops:a,b"),
        ("devstack.simulator", "SIMULATOR_PORT", "http"),
    ],
)
def test_a_wrong_value_is_one_line_of_the_process_that_needs_it(
    module: str, variable: str, value: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module], env={**os.environ, variable: value},
        capture_output=True, text=True, timeout=60, check=False, cwd=settings.PROJECT_DIR,
    )  # fmt: skip

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"cannot start: {variable}: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("process", ["worker", "beat"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("LEAD_WEBHOOK_SECRETS", "s3cr3t"), ("LOG_LEVEL", "s3cr3t"), ("REDIS_URL", "http://s3cr3t")],
)
def test_every_wrong_setting_stops_workers_at_their_start(
    process: str, variable: str, value: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker.app", process],
        env={**os.environ, variable: value, "CELERY_BEAT_SCHEDULE": str(tmp_path / "beat")},
        capture_output=True, text=True, timeout=60, check=False, cwd=settings.PROJECT_DIR,
    )  # fmt: skip

    assert ended.returncode == 1
    assert f"cannot start: {variable}: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "s3cr3t" not in ended.stderr + ended.stdout


def test_the_wrong_values_of_all_listeners_stop_neither_worker_nor_command_line() -> None:
    wrong = {
        "API_PORT": "http", "RECEIVER_PORT": "0", "FLOWER_PORT": "x", "SIMULATOR_PORT": "-1",
        "FLOWER_BASIC_AUTH": "a",
    }  # fmt: skip
    for command in (["-c", "import worker.app"], ["-m", "celery", "-A", "worker.app", "report"]):
        subprocess.run(
            [sys.executable, *command], env={**os.environ, **wrong}, capture_output=True,
            timeout=60, check=True, cwd=settings.PROJECT_DIR,
        )  # fmt: skip
