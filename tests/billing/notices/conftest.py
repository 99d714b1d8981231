"""Every test of notices has a database and a secret to encrypt with; those of mail a server too."""

from collections.abc import Iterator

import pytest

import settings
from tests.billing.notices.given import WEB_SECRET, set_web_secrets
from tests.billing.notices.mail_given import mail_on


@pytest.fixture
def books(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    set_web_secrets(monkeypatch, WEB_SECRET)
    yield
    monkeypatch.undo()
    settings.get.cache_clear()


@pytest.fixture
def mail(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database, and mail is on; nothing listens at the server's address."""
    with mail_on(monkeypatch):
        yield
