"""Only whole deliveries are recorded, and a refusal leaves the connection fit for the next one.

As raw bytes, against the receiver as it runs.
"""

import ast
from pathlib import Path

import pytest

import settings
from tests.raw_http import CHUNKED, announcing, chunk, exchange, exchange_two, head
from tests.server_process import Header
from tests.webhook_receiver.gateway_delivery import razorpay_delivery, stripe_delivery
from tests.webhook_receiver.receiver_process import PATH, Delivery, ReceiverProcess, delivery
from webhook_receiver.server import HEADERS

LEAD = delivery(b'{"type":"lead.created","n":1}')


def lines(sent: Delivery) -> list[Header]:
    return list(sent.headers.items())


def cuts(body: bytes) -> dict[str, tuple[Header, bytes]]:
    return {
        "announced, nothing came": (announcing(len(body)), b""),
        "announced, a part came": (announcing(len(body)), body[:6]),
        "announced, one byte more": (announcing(len(body) + 1), body),
        "chunked, nothing came": (CHUNKED, b""),
        "chunked, without its end": (CHUNKED, chunk(body)),
        "chunked, cut in a chunk": (CHUNKED, chunk(body)[:9]),
    }


@pytest.mark.parametrize("cut", cuts(b""))
def test_an_incomplete_delivery_is_refused_and_not_recorded(
    receiver: ReceiverProcess, cut: str
) -> None:
    whole = delivery(b'{"type":"lead.created","cut":true}')
    framing, sent = cuts(whole.body)[cut]

    answer = exchange(receiver, head("POST", PATH, [*lines(whole), framing]) + sent, ending=True)

    assert answer.status == 400
    assert answer.json["error"].startswith("the body ended early")
    assert answer.headers["connection"] == "close"
    assert receiver.rows_of(whole.id) == []
    assert receiver.post(whole).status == 202


def test_a_signature_over_the_bytes_that_came_does_not_make_a_cut_delivery_whole(
    receiver: ReceiverProcess,
) -> None:
    for sent in (razorpay_delivery(), stripe_delivery()):
        announced = announcing(len(sent.body) + 100)
        message = head("POST", sent.path, [*sent.headers, announced]) + sent.body

        assert exchange(receiver, message, ending=True).status == 400
        assert receiver.rows_with(sent.body) == []


@pytest.mark.parametrize("second", ["the same", "another"])
@pytest.mark.parametrize(
    "name",
    [
        "content-type", "webhook-id", "webhook-timestamp", "webhook-signature",
        "x-razorpay-signature", "x-razorpay-event-id", "stripe-signature", "host",
    ],
)  # fmt: skip
def test_a_header_that_may_come_once_given_twice_is_refused(
    receiver: ReceiverProcess, name: str, second: str
) -> None:
    sent = delivery()
    path, own, body = PATH, lines(sent), sent.body
    for made in (razorpay_delivery(), stripe_delivery()):
        if name in dict(made.headers) and name != "content-type":
            path, own, body = made.path, list(made.headers), made.body
    value = dict([*own, ("host", "tests")])[name]
    doubled = (name, value if second == "the same" else f"{value}2")
    for all_lines in ([*own, doubled], [doubled, *own]):
        message = head("POST", path, [*all_lines, announcing(len(body))]) + body

        answer = exchange(receiver, message)

        assert answer.status == 400
        assert answer.json["error"] == f"the header {name} was sent twice: send it once"
    assert receiver.rows_with(body) == [] or body == sent.body
    assert receiver.rows_of(sent.id) == []


def test_every_header_that_a_door_reads_may_come_once() -> None:
    files = [
        *(settings.PROJECT_DIR / "webhook_receiver").glob("*.py"),
        *(settings.PROJECT_DIR / "gateways").glob("*/webhooks.py"),
    ]

    found = {name.lower() for file in files for name in _headers_read_by(file)}

    assert len(found) >= 6
    assert found <= HEADERS.once


def _headers_read_by(file: Path) -> list[str]:
    """The names in `headers.get("...")` of a file."""
    return [
        str(node.args[0].value)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("headers.get")
        and isinstance(node.args[0], ast.Constant)
    ]


REFUSALS: dict[str, tuple[str, str, list[Header], int, int]] = {
    "not signed": ("POST", PATH, [("content-type", "application/json")], 20_000, 400),
    "unknown address": ("POST", "/webhooks/nobody", [], 20_000, 404),
    "another method": ("PUT", PATH, [], 20_000, 405),
    "not JSON": ("POST", PATH, [("content-type", "text/plain")], 20_000, 415),
    "doubled": ("POST", PATH, [*lines(LEAD), ("webhook-id", "x")], 20_000, 400),
    "too long": ("POST", PATH, lines(LEAD), 3_000_000, 413),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_that_leaves_the_body_unread_does_not_break_the_next_request(
    receiver: ReceiverProcess, refusal: str
) -> None:
    method, path, own, length, status = REFUSALS[refusal]
    first = head(method, path, [*own, announcing(length)]) + b"x" * length
    second = head("GET", "/healthz", [])

    answers = [exchange_two(receiver, first, second) for _ in range(10)]

    assert {(one.status, two.status) for one, two in answers} == {(status, 200)}
