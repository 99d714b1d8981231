"""The task that sends mails, to a real mail server: taken, put off, refused; a worker is killed."""

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

import clock
from billing import notices
from billing.notices.mail_queue import LADDER, LEASE
from db.session import transaction
from tasks.notices import mail as task
from tasks.plumbing import nudges
from tests.billing.given import open_account, post_all, rows, take
from tests.billing.notices.mail_given import ADDRESS, CLINIC, add_contact, fan_out, mail_on, states
from tests.billing.payments import given as buying
from tests.stack_process import eventually
from tests.tasks.notices.mail_server import MailServer, serving
from tests.worker_process import WorkerProcess

pytestmark = pytest.mark.usefixtures("redis")


@pytest.fixture
def server(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A database, and a mail server that our mails go to."""
    with serving() as listening, mail_on(monkeypatch, url=listening.url):
        yield listening


def low(*addresses: str) -> None:
    """A low balance is due to be mailed to each address."""
    open_account(credits_=600)
    for address in addresses:
        add_contact(address=address, topics=["balance.*"])
    post_all(take(200, key="a"))
    fan_out()


def paid(*addresses: str) -> None:
    """A receipt is due to be mailed to each address."""
    open_account()
    for address in addresses:
        add_contact(address=address, topics=["payment.*"])
    buying.open_order()
    buying.take_in(buying.news())
    fan_out()


def test_a_mail_arrives_once_with_what_it_reports(server: MailServer) -> None:
    low(ADDRESS)

    task.send_mails()
    task.send_mails()

    [mail] = server.mails
    assert mail["To"] == ADDRESS
    assert "400" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Unsubscribe"].startswith("<https://pay.shop.example/notices/unsubscribe/")
    assert states() == [("balance_low", "done", None)]


def test_one_is_put_off_and_one_is_refused_without_keeping_the_others_back(
    server: MailServer,
) -> None:
    low("busy@clinic.example", "refused@clinic.example", ADDRESS)

    with capture_logs() as lines:
        task.send_mails()

    assert [mail["To"] for mail in server.mails] == [ADDRESS]
    assert [row[1] for row in states()] == ["pending", "dead", "done"]
    assert {line["event"] for line in lines} == {"mail failed", "mail dead", "mail sent"}
    # Neither the log nor the rows repeat an address, which the server's answers hold.
    assert "clinic.example" not in str(lines)
    assert "clinic.example" not in str(states())
    # And the ladder goes on
    tried = server.tries
    task.send_mails()
    assert server.tries == tried
    with clock.frozen(clock.now() + LADDER[0] + timedelta(seconds=1)):
        task.send_mails()
    assert server.tries == tried + 1


def test_a_server_that_takes_nothing_is_left_alone_and_the_rest_keep_their_attempts(
    server: MailServer,
) -> None:
    server.is_down = True
    low(*(f"c{number}@clinic.example" for number in range(16)))

    task.send_mails()

    assert task.MOST_FAILURES_IN_A_ROW <= server.tries < 3 + task.THREADS
    [(untried,)] = rows("SELECT count(*) FROM notice_mails WHERE attempts = 0 AND lease_id IS NULL")
    assert untried == 16 - server.tries
    server.is_down = False
    task.send_mails()
    assert len(server.mails) == untried


def test_mail_for_many_is_sent_in_one_run_and_by_one_process_at_a_time(
    server: MailServer, redis: Redis
) -> None:
    paid(*(f"c{number}@clinic.example" for number in range(20)))
    redis.set("billing:turn:sending_mails", 1)
    task.send_mails()
    assert server.mails == []
    redis.delete("billing:turn:sending_mails")

    task.send_mails()

    assert len({str(mail["Message-ID"]) for mail in server.mails}) == 20
    assert {state for _, state, _ in states()} == {"done"}


def test_a_worker_killed_before_the_row_sends_again_under_the_same_id(
    server: MailServer, redis: Redis, tmp_path: Path
) -> None:
    # Slow: a worker starts.
    # Given a worker, as it runs in production, that waits for the mail server's last word
    paid("slow@clinic.example")
    with WorkerProcess(tmp_path / "log", name="notices") as worker:
        nudges.send_mails()
        eventually("the server has the mail", lambda: server.mails)
        # When it is killed, and Redis loses what it held
        for child in worker.children():
            child.send_signal(signal.SIGKILL)
        worker.kill()
    redis.flushdb()
    server.goes_on.set()

    # Then the mail is sent again once the lease is over, under the same id
    task.send_mails()
    assert len(server.mails) == 1
    with clock.frozen(clock.now() + LEASE + timedelta(seconds=1)):
        task.send_mails()
    first, again = server.mails
    assert first["Message-ID"] == again["Message-ID"]
    assert states() == [("top_up", "done", None)]


def test_the_mail_that_asks_to_confirm_goes_first_and_opens_the_rest(server: MailServer) -> None:
    open_account(credits_=600)
    asked = add_contact(confirmed=False)
    task.send_mails()
    [mail] = server.mails
    body = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "https://pay.shop.example/l/" in body

    token = body.split("https://pay.shop.example/l/")[1].split()[0]
    link = notices.mail_links.read_link(token)
    with transaction() as session:
        notices.contacts.confirm(session, link.contact_id)  # type: ignore[union-attr]
    post_all(take(200, key="a", account=CLINIC))
    fan_out()
    task.send_mails()

    assert link == notices.mail_links.ConfirmLink(asked)
    assert len(server.mails) == 2
