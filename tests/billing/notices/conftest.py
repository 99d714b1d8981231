"""Every test of notices has a database and a secret to encrypt with."""

from collections.abc import Iterator

import pytest

import settings
from tests.billing.notices.given import WEB_SECRET, set_web_secrets


@pytest.fixture
def books(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    set_web_secrets(monkeypatch, WEB_SECRET)
    yield
    monkeypatch.undo()
    settings.get.cache_clear()
