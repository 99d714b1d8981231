"""What is no lead delivery is refused with a JSON answer that says why."""

import pytest

from tests.webhook_receiver.receiver_process import PATH, Delivery, ReceiverProcess, delivery

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half an object"),
        pytest.param(b"\xff\xfe\x00", id="invalid UTF-8"),
        pytest.param(b"[" * 60_000, id="nested too deeply"),
        pytest.param(b"9" * 5_000, id="a number of 5,000 digits"),
    ],
)
def test_what_is_neither_readable_nor_signed_is_a_bad_request(
    receiver: ReceiverProcess, body: bytes
) -> None:
    answer = receiver.post(delivery(body, webhook_signature=None))

    assert (answer.status, answer.said) == (400, {"error": "not JSON, not signed"})


def test_a_large_body_of_a_stranger_is_not_read_while_everybody_waits(
    receiver: ReceiverProcess,
) -> None:
    answer = receiver.post(delivery(b"[" * 100_000, webhook_signature=None))

    assert answer.status == 401


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
def test_json_is_taken_however_it_is_announced(
    receiver: ReceiverProcess, content_type: str
) -> None:
    assert receiver.post(delivery(content_type=content_type)).status == 202


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "text/json", "\xff", "json"],
)
def test_another_content_type_is_refused(
    receiver: ReceiverProcess, content_type: str | None
) -> None:
    sent = delivery(content_type=content_type)

    answer = receiver.post(sent)

    assert answer.status == 415
    assert "application/json" in answer.json["error"]
    assert receiver.rows_of(sent.id) == []


def test_a_mebibyte_is_taken_and_a_byte_more_is_not(receiver: ReceiverProcess) -> None:
    fits, does_not = delivery(b"1" * MIB), delivery(b"1" * (MIB + 1))

    assert receiver.post(fits).status == 202
    answer = receiver.post(does_not)

    assert answer.status == 413
    assert answer.said == {"error": "the body must be at most 1048576 bytes"}
    assert [len(row.body) for row in receiver.rows_of(fits.id)] == [MIB]
    assert receiver.rows_of(does_not.id) == []


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
def test_a_body_announced_too_long_is_refused_before_any_of_it_came(
    receiver: ReceiverProcess, more: str
) -> None:
    with receiver.open_socket() as bare:
        bare.sendall(_head(delivery(), f"Content-Length: {10 * MIB}\r\n{more}"))

        answer = receiver.answer_on(bare)

    assert answer.status == 413


def test_ten_megabytes_are_refused(receiver: ReceiverProcess) -> None:
    assert receiver.post(delivery(b"1" * 10 * MIB)).status == 413


@pytest.mark.parametrize("length", [MIB + 1, 2 * MIB])
def test_a_long_body_of_unannounced_length_is_refused(
    receiver: ReceiverProcess, length: int
) -> None:
    sent = delivery(b"1" * length)

    answer = _post_chunked(receiver, sent)

    assert answer == 413
    assert receiver.rows_of(sent.id) == []


@pytest.mark.parametrize("length", [2, 100_000, MIB])
def test_a_body_of_unannounced_length_is_taken_while_it_is_not_too_long(
    receiver: ReceiverProcess, length: int
) -> None:
    sent = delivery(b"1" * length)

    assert _post_chunked(receiver, sent) == 202
    assert [row.body for row in receiver.rows_of(sent.id)] == [sent.body]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_refused_and_told_the_right_one(
    receiver: ReceiverProcess, method: str
) -> None:
    answer = receiver.request(method, PATH)

    assert answer.status == 405
    assert answer.json["error"]
    assert "POST" in answer.headers.get("allow", "")  # RFC 9110, 15.5.6: must be sent


@pytest.mark.parametrize(
    "path", ["/", "/webhooks", "/webhooks/leads/", "/webhooks/nobody", "/%ff%00", "/../etc/passwd"]
)
def test_an_unknown_address_is_told_the_known_ones(receiver: ReceiverProcess, path: str) -> None:
    for method in ("GET", "POST"):
        answer = receiver.request(method, path)

        assert answer.status == 404
        assert PATH in answer.json["error"]


def _head(sent: Delivery, more: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
    return f"POST {PATH} HTTP/1.1\r\nHost: receiver\r\n{lines}{more}\r\n".encode()


def _post_chunked(receiver: ReceiverProcess, sent: Delivery) -> int:
    size = 64 * 1024
    pieces = [sent.body[i : i + size] for i in range(0, len(sent.body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    with receiver.open_socket() as bare:
        bare.sendall(_head(sent, "Transfer-Encoding: chunked\r\n") + chunks + b"0\r\n\r\n")
        return receiver.answer_on(bare).status


def test_a_client_that_reads_only_after_it_has_sent_ten_megabytes_sees_the_answer(
    receiver: ReceiverProcess,
) -> None:
    sent = delivery(b"1" * 10 * MIB)
    for _ in range(5):
        connection = receiver.connect()
        connection.request("POST", PATH, body=sent.body, headers=sent.headers)
        assert connection.getresponse().status == 413
        connection.close()
