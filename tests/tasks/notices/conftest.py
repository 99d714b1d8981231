"""A database for notices, platforms that receive them, and a clock that can be moved."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import clock
import settings
from tests.billing.notices.given import WEB_SECRET
from tests.tasks.notices.platforms import Platforms, listening


@pytest.fixture
def platforms() -> Iterator[Platforms]:
    with listening() as opened:
        yield opened


@pytest.fixture
def clock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The clock of a development stack, followed here too; with it goes calling this computer."""
    file = tmp_path / "clock.json"
    monkeypatch.setenv(settings.CLOCK_VARIABLE, str(file))
    clock.follow(file)
    yield file
    clock.follow(None)


@pytest.fixture
def books(clock_file: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty database, and a secret to encrypt with."""
    from tasks.notices import deliver  # noqa: PLC0415 - the app reads the settings

    monkeypatch.setenv("WEB_SECRETS", WEB_SECRET)
    settings.get.cache_clear()
    deliver.sender.cache_clear()
    yield
    deliver.sender().__exit__()
    deliver.sender.cache_clear()
    monkeypatch.undo()
    settings.get.cache_clear()
