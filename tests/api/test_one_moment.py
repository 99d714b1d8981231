"""Answers are of one moment, though others commit between the statements of a view."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

import settings
from api import app as api_app
from billing.credit import holds
from db.session import transaction
from tests.api.conftest import HOUSE_KEY
from tests.between import once_read
from tests.billing.given import open_account


@pytest.fixture
def client(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    """The API in this process, so that its statements can be seen."""
    monkeypatch.setenv("API_KEYS", f"house:{HOUSE_KEY}")
    settings.get.cache_clear()
    yield api_app.create_app().test_client()
    settings.get.cache_clear()


def test_a_hold_that_is_captured_while_one_asks_is_told_with_the_figures_of_its_state(
    client: FlaskClient,
) -> None:
    # Given 30 of 100 credits on hold
    open_account(credits_=100)
    with transaction() as session:
        held = holds.place(
            session, account="clinic:42", amount=30, idempotency_key="h", actor="test",
            expires_in=None,
        )  # fmt: skip

    def capture() -> None:
        with transaction() as session:
            holds.capture(session, hold_id=held.id, idempotency_key="c", actor="test")

    def ask() -> tuple[object, ...]:
        headers = {"Authorization": f"Bearer {HOUSE_KEY}"}
        shown = client.get(f"/v1/holds/{held.id}", headers=headers).json
        assert shown is not None
        return shown["state"], shown["balance"], shown["held"], shown["available"]

    # When it is captured after it was read
    with once_read("holds", capture):
        shown = ask()
    # Then the answer is as it was, or as it is: never open with nothing held
    assert shown == ("open", 100, 30, 70)
    assert ask() == ("captured", 70, 0, 70)
