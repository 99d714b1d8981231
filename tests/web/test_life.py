"""What stops the pages at their start, and what their readers see of a database that fails.

The app is called in this process: a server of its own would cost seconds and show the same.
"""

from urllib.parse import urlsplit

import psycopg2
import pytest
from sqlalchemy import event

import settings
from billing.notices import mail_links
from db import connections
from web.app import create_app

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_SECRETS", "the-web-secret-of-the-tests-32-or-more")
    settings.get.cache_clear()


def test_without_a_secret_it_says_what_to_do() -> None:
    with pytest.raises(SystemExit, match=r"cannot start: WEB_SECRETS is not set: .*openssl rand"):
        create_app()


@pytest.mark.usefixtures("secret")
def test_a_fault_is_a_page_and_its_reasons_stay_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = create_app()

    @app.get("/broken/<token>")
    def broken(token: str) -> str:
        raise ValueError(f"what {token} says")

    answer = app.test_client().get("/broken/eyJ0b2tlbiI6MX0")

    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.text
    assert "ValueError" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    log = "".join(capsys.readouterr())
    assert "ValueError" in log
    assert "/broken/<token>" in log
    assert "eyJ" not in log


@pytest.mark.usefixtures("secret")
def test_a_database_that_is_away_is_a_page_that_asks_to_come_again() -> None:
    reader = create_app().test_client()
    path = urlsplit(mail_links.confirm_url(1)).path

    def away(*_: object) -> None:
        raise psycopg2.OperationalError("the server closed the connection unexpectedly")

    event.listen(connections.engine(), "do_connect", away)
    try:
        answer, probe = reader.get(path), reader.get("/readyz")
    finally:
        event.remove(connections.engine(), "do_connect", away)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "not available right now" in answer.text
    assert (probe.status_code, probe.text) == (503, "the database cannot be reached\n")
