"""The mail sink: what comes by SMTP is kept as it came, shown safely, and bounded."""

import json
import smtplib
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from devstack import ports
from devstack.mail_sink.server import Running, running
from devstack.mail_sink.store import Store

HOSTILE = '<html><head></head><body><script>alert(1)</script><p>Low "credit"</p></body></html>'


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Running]:
    store = Store(tmp_path / "mail", most=3)
    with running(store, port=ports.find_free(), smtp_port=ports.find_free()) as sink:
        yield sink


def a_mail(subject: str, *, html: str | None = None) -> EmailMessage:
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = (
        "Billing <b@billing.example>",
        "c@x.example",
        subject,
    )
    mail["Message-ID"] = "<ntc_7.1@billing.example>"
    mail.set_content("Your credit is low: https://billing.example/top-up\n.\n")
    if html is not None:
        mail.add_alternative(html, subtype="html")
        mail.set_boundary("one-and-the-same")
    return mail


def send(sink: Running, *mails: EmailMessage) -> None:
    port = int(sink.smtp_url.rpartition(":")[2])
    with smtplib.SMTP(ports.HOST, port, timeout=20) as server:
        for mail in mails:
            assert server.send_message(mail, "bounces@billing.example", ["c@x.example"]) == {}


def get(sink: Running, path: str) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection(ports.HOST, int(sink.url.rpartition(":")[2]), timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer, body


def kept(sink: Running) -> list[dict[str, Any]]:
    mails: list[dict[str, Any]] = json.loads(get(sink, "/mails.json")[1])["mails"]
    return mails


def test_a_mail_is_kept_as_it_came_and_shown_in_all_its_forms(sink: Running) -> None:
    # Given a mail with a text and with HTML that means harm
    mail = a_mail("Credit is low: ₹500 <left>", html=HOSTILE)

    # When it is sent
    send(sink, mail)

    # Then programs find it
    [found] = kept(sink)
    assert (found["subject"], found["to"]) == ("Credit is low: ₹500 <left>", ["c@x.example"])
    assert ["Message-ID", "<ntc_7.1@billing.example>"] in found["headers"]
    assert found["text"] == "Your credit is low: https://billing.example/top-up\n.\n"
    # And its bytes are those that were sent
    answer, raw = get(sink, f"/mails/{found['id']}/raw")
    assert answer.getheader("Content-Disposition") == f'attachment; filename="{found["id"]}.eml"'
    assert message_from_bytes(raw.encode(), policy=policy.SMTP).as_bytes() == mail.as_bytes()
    # And people see it, its HTML in a frame that runs nothing
    _, listed = get(sink, "/")
    assert "Credit is low: ₹500 &lt;left&gt;" in listed
    answer, shown = get(sink, f"/mails/{found['id']}")
    assert '<iframe src="/mails/00000001/html"' in shown
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in shown
    assert "alert(1)" not in shown
    assert "script-src" not in (answer.getheader("Content-Security-Policy") or "")
    answer, framed = get(sink, f"/mails/{found['id']}/html")
    assert '<head><base target="_blank"></head>' in framed
    assert "sandbox allow-popups" in (answer.getheader("Content-Security-Policy") or "")
    assert "default-src 'none'" in (answer.getheader("Content-Security-Policy") or "")


def test_the_newest_come_first_and_the_oldest_are_dropped(sink: Running, tmp_path: Path) -> None:
    send(sink, *(a_mail(f"mail {number}") for number in range(5)))

    assert [mail["subject"] for mail in kept(sink)] == ["mail 4", "mail 3", "mail 2"]
    assert len(list((tmp_path / "mail").iterdir())) == 6
    # And a sink that is started again goes on after them
    assert (
        Store(tmp_path / "mail", most=3).add("b@x.example", ["c@x.example"], b"\r\n") == "00000006"
    )


def test_a_mail_that_no_program_would_write_does_not_break_the_pages(sink: Running) -> None:
    port = int(sink.smtp_url.rpartition(":")[2])
    with smtplib.SMTP(ports.HOST, port, timeout=20) as server:
        for raw in (
            b"Subject: =?nonsense?B?!!?=\r\nContent-Type: text/html; charset=none\r\n\r\n<p>\xff",
            b"no header at all \xff\xfe",
            b"From: <<<@@\r\nTo: \x00\r\nContent-Type: multipart/mixed\r\n\r\nx",
        ):
            server.sendmail("b@x.example", ["c@x.example"], raw)

    mails = kept(sink)

    assert len(mails) == 3
    assert get(sink, "/")[0].status == 200
    assert [get(sink, f"/mails/{mail['id']}")[0].status for mail in mails] == [200, 200, 200]


@pytest.mark.parametrize("path", ["/mails/9", "/mails/00000009", "/mails/..%2f..%2fx/raw", "/x"])
def test_what_is_not_there_is_a_404(sink: Running, path: str) -> None:
    assert get(sink, path)[0].status == 404
