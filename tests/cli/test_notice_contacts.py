"""`billing notices contacts`, `mails` and `send-test-mail`."""

from collections.abc import Iterator

import pytest

from tests.billing.given import open_account, post_all, rows, take
from tests.billing.notices.mail_given import ADDRESS, CLINIC, OPS, fan_out, mail_on, sent
from tests.cli.runner import run
from tests.tasks.notices.mail_server import MailServer, serving

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def server(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with serving() as listening, mail_on(monkeypatch, url=listening.url):
        yield listening


def add(*arguments: str) -> int:
    """A contact; its id."""
    made = run("notices", "contacts", "add", *arguments, "--json").json
    assert isinstance(made["contact_id"], int)
    return made["contact_id"]


def test_contacts_are_added_listed_confirmed_and_removed(server: MailServer) -> None:
    open_account()
    vouched = add(ADDRESS, "--account", CLINIC, "--topic", "payment.captured")
    asked = add("owner@clinic.example", "--account", CLINIC, "--ask")
    operator = add(OPS, "--operators", "--actor", "alice")

    listed = run("notices", "contacts", "list", "--json").json
    assert [(one["contact_id"], one["account"], one["confirmed"]) for one in listed] == [
        (vouched, CLINIC, True), (asked, CLINIC, False), (operator, None, True),
    ]  # fmt: skip
    assert listed[0]["topics"] == ["payment.captured"]
    of_clinic = run("notices", "contacts", "list", "--account", CLINIC, "--json").json
    assert len(of_clinic) == 2

    assert run("notices", "contacts", "confirm", str(asked), "--json").json["confirmed"]
    run("notices", "contacts", "remove", str(vouched))
    assert "unknown contact" in run("notices", "contacts", "remove", str(vouched)).error
    assert rows("SELECT actor FROM billing_audit_log WHERE subject = :s", s=f"contact:{operator}")[
        0
    ][0].endswith("(as alice)")  # type: ignore[attr-defined]


def test_what_is_wrong_with_a_contact_is_said_in_one_line(server: MailServer) -> None:
    open_account()
    add(ADDRESS, "--account", CLINIC)
    of = ("--account", CLINIC)

    assert run("notices", "contacts", "add", ADDRESS).exit_code == 2
    assert run("notices", "contacts", "add", ADDRESS, "--operators", *of).exit_code == 2
    again = run("notices", "contacts", "add", ADDRESS.upper(), *of).error
    assert "already contact 1 of this account" in again
    assert "name@place" in run("notices", "contacts", "add", "nobody", *of).error
    wrong = run("notices", "contacts", "add", "b@c.co", *of, "--topic", "balance.lo").error
    assert "did you mean balance.low" in wrong
    assert (
        "clinic:nowhere" in run("notices", "contacts", "list", "--account", "clinic:nowhere").error
    )


def test_mails_are_listed_with_why_one_was_not_sent(server: MailServer) -> None:
    open_account(credits_=600)
    add(ADDRESS, "--account", CLINIC)
    post_all(take(200, key="a"))
    fan_out()
    sent()

    [mail] = run("notices", "mails", "--account", CLINIC, "--state", "done", "--json").json
    assert (mail["kind"], mail["attempts"], mail["notice_id"][:4]) == ("balance_low", 1, "ntc_")
    assert run("notices", "mails", "--state", "dead", "--json").json == []
    assert ADDRESS not in run("notices", "mails").out


def test_a_test_mail_is_sent_at_once_and_says_what_the_server_said(server: MailServer) -> None:
    said = run("notices", "send-test-mail", OPS, "--json").json

    [mail] = server.mails
    assert (mail["To"], mail["Message-ID"]) == (OPS, said["message_id"])
    assert said["state"] == "taken by the server"
    assert "5.1.1" in run("notices", "send-test-mail", "refused@shop.example").error
    assert "name@place" in run("notices", "send-test-mail", "nobody").error


def test_without_a_mail_server_the_test_mail_says_what_to_set() -> None:
    assert "SMTP_URL is not set" in run("notices", "send-test-mail", OPS).error
