"""What comes of a call, by real sockets: receivers that are slow, wrong, endless or false."""

import gzip
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from standardwebhooks import Webhook
from structlog.testing import capture_logs

import clock
from billing.notices import Answer
from notify.http import Allowed, Sender, connections, headers_of
from tests.notify.http.hostile import (
    OK,
    Behaviour,
    Receiver,
    drips,
    hangs,
    receiving,
    resets,
    says,
    status,
)

HERE = Allowed(loopback=True)
BODY = b'{"type":"plan.paid","data":{"account":"clinic:42"}}'
LONG = b"x" * 10_000_000
PACKED = gzip.compress(LONG)
PRIVATE = "private-9876543210"


def posted(*behaviours: Behaviour, whole_seconds: float = 5.0) -> tuple[Answer, Receiver]:
    with receiving(*behaviours) as receiver, Sender(HERE, whole_seconds=whole_seconds) as sender:
        return sender.post(f"http://127.0.0.1:{receiver.port}/hooks?key=1", {}, BODY), receiver


def test_a_notice_is_posted_with_our_headers_and_verifies_by_the_published_library() -> None:
    # Given an endpoint that is changing its secret
    new, old = (
        "whsec_" + "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXct",
        "whsec_" + "b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQt",
    )
    headers = headers_of(17, BODY, secrets=(new, old), now=clock.real_now())
    with receiving(says(OK)) as receiver, Sender(HERE) as sender:
        # When a notice is sent to it
        answer = sender.post(f"http://localhost:{receiver.port}/hooks?key=1", headers, BODY)
    # Then the answer is kept
    assert (answer.status, answer.error, answer.head) == (200, None, b"ok")
    assert answer.is_success
    # And either secret verifies what was sent
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    request_line, *lines = head.decode().split("\r\n")
    sent = dict(line.split(": ", 1) for line in lines)
    assert request_line == "POST /hooks?key=1 HTTP/1.1"
    assert body == BODY
    for secret in (new, old):
        Webhook(secret).verify(body.decode(), sent)
    # And nothing is said that is not needed
    assert sent.pop("User-Agent").startswith("credit-billing-notices/")
    assert {**sent, **headers} == {
        "Host": f"localhost:{receiver.port}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": str(len(BODY)),
        **headers,
        "webhook-id": "ntc_17",
    }


@pytest.mark.parametrize(
    ("behaviour", "expected_status", "error"),
    [
        (status("500 Oops", body=PRIVATE.encode()), 500, "status 500"),
        (status("404 Not Found"), 404, "status 404"),
        (status("410 Gone"), 410, "status 410"),
        (says(b"HTTP/1.0 503 x\r\n\r\nhtml", then_closes=True), 503, "status 503"),
        (status("301 Moved", "Location: http://127.0.0.1/x"), 301, "status 301, not followed"),
        (status("307 Elsewhere", "Location: /private"), 307, "status 307, not followed"),
        (says(b"HTTP/1.1 101 Switch\r\n\r\n"), 101, "status 101"),
        (resets, None, "the connection was closed before an answer"),
        (says(b"HTTP/1.1 2", then_closes=True), None, "the answer is not HTTP"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), None, "the answer is not HTTP"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"), None, "is not HTTP"),
        (says(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000), None, "is longer than 64 KiB"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000), None, "is longer than 64 KiB"),
    ],
)  # fmt: skip
def test_what_a_receiver_does_wrong_is_named_in_our_words(
    behaviour: Behaviour, expected_status: int | None, error: str
) -> None:
    with capture_logs() as lines:
        answer, receiver = posted(behaviour)
    assert answer.status == expected_status
    assert answer.error is not None
    assert error in answer.error
    assert PRIVATE not in answer.error
    assert not answer.is_success
    assert len(receiver.requests) == 1
    assert lines == []


@pytest.mark.parametrize(
    ("behaviour", "head"),
    [
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", LONG), LONG[:1024]),
        (says(b"HTTP/1.1 200 OK\r\n\r\n", LONG), LONG[:1024]),
        (says(b"HTTP/1.1 204 No Content\r\n\r\n"), b""),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", then_closes=True), b"abc"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz"), b"abc"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc"), b"abc"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", then_closes=True), b"abc"),
        (status("200 OK", "Content-Encoding: gzip", body=PACKED), PACKED[:1024]),
    ],
)  # fmt: skip
def test_a_success_stays_one_however_its_body_is_and_no_more_than_64_kib_are_read(
    behaviour: Behaviour, head: bytes
) -> None:
    answer, _ = posted(behaviour, whole_seconds=0.5)
    assert answer.is_success
    assert answer.head == head


class TestTime:
    @pytest.mark.parametrize(
        "behaviour",
        [
            hangs,
            drips(),
            drips(first=b"HTTP/1.1 200 OK\r\nA: "),
            drips(first=b"HTTP/1.1 100 Continue\r\n\r\n"),
        ],
        ids=["nothing", "a status line", "a header", "after a 100"],
    )
    def test_ends_for_a_server_that_drips_as_for_one_that_hangs(self, behaviour: Behaviour) -> None:
        answer, _ = posted(behaviour, whole_seconds=0.4)
        assert (answer.status, answer.error) == (None, "no answer within 15 seconds")
        assert 390 <= answer.duration_ms < 4000

    def test_ends_a_body_that_drips_and_the_status_counts(self) -> None:
        answer, _ = posted(drips(first=b"HTTP/1.1 200 OK\r\n\r\n"), whole_seconds=0.4)
        assert answer.is_success
        assert 390 <= answer.duration_ms < 4000

    def test_ends_a_tls_handshake_that_hangs(self) -> None:
        with receiving(hangs) as receiver, Sender(HERE, whole_seconds=0.4) as sender:
            answer = sender.post(f"https://127.0.0.1:{receiver.port}/", {}, BODY)
        assert answer.error == "no answer within 15 seconds"

    def test_of_a_connection_is_shared_by_the_addresses(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.6)
        found = ["127.0.0.2", "127.0.0.3"]
        with ExitStack() as stack:
            # Given a name with an address that swallows packets, and a good one
            good = stack.enter_context(receiving(says(OK), host="127.0.0.3"))
            stack.enter_context(socket.create_server(("127.0.0.2", good.port), backlog=0))
            for _ in range(4):  # the queue of connections is full
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(("127.0.0.2", good.port))
            sender = stack.enter_context(Sender(HERE, resolve=lambda _h, _p: found))
            # When a notice is sent to it, then the good one is reached after half of the time
            answer = sender.post(f"http://shop.example:{good.port}/", {}, BODY)
            assert answer.is_success
            assert answer.duration_ms > 250
            # And without it all of the time is spent
            del found[1]
            answer = sender.post(f"http://other.example:{good.port}/", {}, BODY)
            assert answer.error == "no connection: no answer within 0.6 seconds"


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def post(self, authority: trustme.CA) -> Callable[..., tuple[Answer, Receiver]]:
        def call(url: str, certificate: trustme.LeafCert) -> tuple[Answer, Receiver]:
            server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(server)
            trusting = ssl.create_default_context()
            authority.configure_trust(trusting)
            with (
                receiving(says(OK), tls=server) as receiver,
                Sender(HERE, resolve=lambda _h, _p: ["127.0.0.1"], context=trusting) as sender,
            ):
                return sender.post(url.format(port=receiver.port), {}, BODY), receiver

        return call

    def test_the_name_is_asked_for_and_checked_at_the_address_that_was_judged(
        self, authority: trustme.CA, post: Callable[..., tuple[Answer, Receiver]]
    ) -> None:
        certificate = authority.issue_cert("shop.example")
        answer, receiver = post("https://SHOP.example:{port}/hooks", certificate)
        assert answer.is_success
        assert receiver.names == ["shop.example"]
        assert f"Host: shop.example:{receiver.port}\r\n".encode() in receiver.requests[0]

    def test_a_certificate_that_is_not_for_the_name_is_refused_unsent(
        self, authority: trustme.CA, post: Callable[..., tuple[Answer, Receiver]]
    ) -> None:
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        for certificate, words in (
            (authority.issue_cert("other.example"), "the certificate is for another name"),
            (authority.issue_cert("127.0.0.1"), "the certificate is for another name"),
            (authority.issue_cert("shop.example", not_before=long_ago, not_after=long_ago),
             "the certificate has expired"),
            (trustme.CA().issue_cert("shop.example"), "the certificate is signed by nobody known"),
        ):  # fmt: skip
            answer, receiver = post("https://shop.example:{port}/", certificate)
            assert (answer.status, answer.error) == (None, words)
            assert receiver.requests == []

    def test_a_server_without_tls_is_not_spoken_to(self) -> None:
        with receiving(says(OK)) as receiver, Sender(HERE, whole_seconds=0.3) as sender:
            answer = sender.post(f"https://localhost:{receiver.port}/", {}, BODY)
        assert answer.error in {"TLS failed", "no answer within 15 seconds"}
        assert receiver.requests == []


class TestInside:
    """What is inside our network is reached by nothing that a stranger writes or answers."""

    def test_a_name_that_leads_first_out_and_then_in_is_judged_by_what_is_called(self) -> None:
        # Given a name that leads out when it is asked for first, and then to this computer
        answers = iter([["203.0.113.9", "8.8.8.8"], ["127.0.0.1"], ["8.8.8.8", "127.0.0.1"]])
        asked: list[str] = []

        def rebinding(host: str, _port: int) -> Sequence[str]:
            asked.append(host)
            return next(answers)

        with receiving(says(OK)) as receiver, Sender(Allowed(), resolve=rebinding) as sender:
            # When notices are sent to it
            found = [
                sender.post(f"https://rebind.example:{receiver.port}/", {}, BODY).error
                for _ in range(3)
            ]
        # Then each is judged by the one look-up that it made, and nothing came in
        assert found == ["the name leads to an address that is not public (NOTICE_ALLOW_CIDRS)"] * 3
        assert asked == ["rebind.example"] * 3
        assert receiver.connections == 0

    def test_the_address_that_was_judged_is_the_one_that_is_called(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given a resolver that would answer otherwise if it was asked again
        def fail(*_args: object, **_options: object) -> object:
            raise AssertionError("looked up again")

        called: list[tuple[str, int]] = []
        monkeypatch.setattr(socket, "getaddrinfo", fail)

        def refuse(_socket: socket.socket, address: tuple[str, int]) -> None:
            called.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket.socket, "connect", refuse)
        answers = iter([["8.8.8.8"]])
        sender = Sender(Allowed(), resolve=lambda _h, _p: next(answers))
        answer = sender.post("https://rebind.example/", {}, BODY)
        assert called == [("8.8.8.8", 443)]
        assert answer.error == "no connection: refused"

    def test_nothing_of_a_proxy_a_netrc_a_cookie_or_a_redirect_is_used(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        with receiving(says(OK)) as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            moved = status(
                "302 Found", "Set-Cookie: a=b", f"Location: http://127.0.0.1:{proxy.port}/"
            )
            with receiving(moved) as receiver, Sender(HERE) as sender:
                for _ in range(2):
                    answer = sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY)
                    assert answer.status == 302
        assert proxy.connections == 0
        for request in receiver.requests:
            assert b"ookie" not in request
            assert b"uthorization" not in request

    def test_a_header_or_a_path_cannot_begin_another_request(self) -> None:
        sender = Sender(HERE)
        for url, headers in (
            ("http://127.0.0.1:1/a%20b\r\nX: y", {}),
            ("http://127.0.0.1:1/", {"webhook-id": "ntc_1\r\nX: y"}),
        ):
            assert sender.post(url, headers, BODY).error is not None


class TestConnections:
    def test_one_is_kept_and_used_again(self) -> None:
        with receiving(says(OK)) as receiver, Sender(HERE) as sender:
            for _ in range(5):
                assert sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY).is_success
        assert (receiver.connections, len(receiver.requests)) == (1, 5)

    def test_an_answer_that_is_announced_is_waited_for_and_not_taken_for_the_next(self) -> None:
        announced = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n")
        with receiving(says(*announced, OK), status("500 x")) as receiver, Sender(HERE) as sender:
            answers = [
                sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY) for _ in range(2)
            ]
        assert [(a.status, a.head) for a in answers] == [(200, b"ok"), (500, b"")]
        assert receiver.connections == 1

    def test_one_that_is_busy_for_a_minute_is_replaced(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "MOST_SECONDS", 0.0)
        with receiving(says(OK)) as receiver, Sender(HERE) as sender:
            for _ in range(2):
                assert sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY).is_success
        assert receiver.connections == 2

    def test_one_that_was_closed_meanwhile_is_replaced_and_the_notice_sent_once(self) -> None:
        with receiving(says(OK, then_closes=True)) as receiver, Sender(HERE) as sender:
            for _ in range(3):
                assert sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY).is_success
        assert (receiver.connections, len(receiver.requests)) == (3, 3)

    def test_one_that_is_closed_as_the_request_comes_is_replaced(self) -> None:
        with receiving(says(OK), resets, says(OK)) as receiver, Sender(HERE) as sender:
            for _ in range(2):
                assert sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY).is_success
        assert (receiver.connections, len(receiver.requests)) == (2, 3)

    def test_one_with_an_answer_that_was_not_read_to_its_end_is_not_used_again(self) -> None:
        endless = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        with receiving(endless) as receiver, Sender(HERE) as sender:
            for _ in range(2):
                assert sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY).is_success
        assert receiver.connections == 2

    def test_what_was_said_unasked_is_not_taken_for_the_next_answer(self) -> None:
        def says_more_than_asked(connection: socket.socket) -> None:
            connection.sendall(OK)
            time.sleep(0.05)
            connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")

        with (
            receiving(says_more_than_asked) as receiver,
            Sender(HERE) as sender,
        ):
            for _ in range(3):
                assert sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY).is_success
                time.sleep(0.1)
        assert receiver.connections == 3

    def test_few_are_kept_and_old_ones_are_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "MOST_IDLE", 2)
        with (
            receiving(says(OK)) as one,
            receiving(says(OK)) as two,
            receiving(says(OK)) as three,
            Sender(HERE) as sender,
        ):
            for _ in range(2):
                for receiver in (one, two, three):
                    assert sender.post(f"http://127.0.0.1:{receiver.port}/", {}, BODY).is_success
            assert [r.connections for r in (one, two, three)] == [2, 2, 2]
            monkeypatch.setattr(connections, "IDLE_SECONDS", 0.0)
            assert sender.post(f"http://127.0.0.1:{three.port}/", {}, BODY).is_success
            assert three.connections == 3


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("120", timedelta(minutes=2)),
            ("0", timedelta(0)),
            ("999999999999999999999999", timedelta(hours=24)),
            ("Sat, 01 Jan 2000 00:00:00 GMT", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("٣", None),
            ("x" * 5_000, None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(hours=24)),
            ("Fri, 99 Foo 99999 99:99:99 GMT", None),
        ],
    )
    def test_is_seconds_or_a_date_and_nonsense_is_ignored(
        self, header: str, expected: timedelta | None
    ) -> None:
        raw = f"HTTP/1.1 429 Slow\r\nRetry-After: {header}\r\nContent-Length: 0\r\n\r\n"
        answer, _ = posted(says(raw.encode()))
        assert (answer.status, answer.retry_after) == (429, expected)

    def test_a_date_is_counted_from_the_real_time(self) -> None:
        at = clock.real_now() + timedelta(minutes=10)
        answer, _ = posted(status("503 x", f"Retry-After: {format_datetime(at, usegmt=True)}"))
        assert answer.retry_after is not None
        assert timedelta(minutes=9) < answer.retry_after <= timedelta(minutes=10)
