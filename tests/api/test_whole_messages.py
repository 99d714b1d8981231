"""Only whole messages are obeyed, and a refusal leaves the connection fit for the next request.

As raw bytes, against the API as it runs.
"""

import json

import pytest

from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.api.given_spending import charge, on_record, placed, show
from tests.billing.given import open_account, rows
from tests.raw_http import CHUNKED, announcing, chunk, exchange, exchange_two, head
from tests.server_process import Answer, Header

pytestmark = pytest.mark.usefixtures("house")

CAPTURE = b'{"amount": 5}'


@pytest.fixture
def clinic(number: int) -> str:
    """An account with 1,000 credits."""
    return open_account(f"clinic:{number}", credits_=1_000)


def headers(once: str, *more: Header, content_type: str = "application/json") -> list[Header]:
    return [
        ("authorization", f"Bearer {HOUSE_KEY}"),
        ("content-type", content_type),
        ("idempotency-key", once),
        *more,
    ]


def charge_body(clinic: str, amount: int = 5) -> bytes:
    return json.dumps({"account": clinic, "amount": amount}).encode()


CUTS = {
    "announced, nothing came": (announcing(len(CAPTURE)), b""),
    "announced, a part came": (announcing(len(CAPTURE)), CAPTURE[:6]),
    "announced, only valid JSON came": (announcing(100), CAPTURE),
    "chunked, nothing came": (CHUNKED, b""),
    "chunked, without its end": (CHUNKED, chunk(CAPTURE)),
    "chunked, cut in a chunk": (CHUNKED, chunk(CAPTURE)[:9]),
}


@pytest.mark.parametrize("cut", CUTS)
def test_an_incomplete_body_is_not_an_absent_one_and_its_key_is_like_new(
    api: ApiProcess, clinic: str, cut: str
) -> None:
    # Given a hold, which a capture without a body would take as a whole
    hold_id = placed(api, clinic, 1_000)
    path, once = f"/v1/holds/{hold_id}/capture", f"capture-{clinic}"
    framing, sent = CUTS[cut]

    # When a capture of a part of it is cut short on its way
    answer = exchange(api, head("POST", path, headers(once, framing)) + sent, ending=True)

    # Then nothing was done, and the whole message under the same key is
    assert answer.status == 400
    assert problem(answer)["detail"].startswith("the body ended early")
    assert answer.headers["connection"] == "close"
    assert show(api, hold_id).json["state"] == "open"
    again = api.request("POST", path, CAPTURE, headers(once))
    assert (again.status, again.json["captured"]) == (200, 5)
    assert "idempotent-replayed" not in again.headers
    assert on_record(clinic) == (995, 0, 1)


def test_a_charge_that_announced_more_than_it_brought_is_not_done(
    api: ApiProcess, clinic: str
) -> None:
    sent = head("POST", "/v1/charges", headers(f"c-{clinic}", announcing(100)))

    answer = exchange(api, sent + charge_body(clinic), ending=True)

    assert answer.status == 400
    assert on_record(clinic) == (1_000, 0, 0)
    assert charge(api, clinic, 5, once=f"c-{clinic}").status == 201


def test_a_client_that_is_gone_before_the_end_has_done_nothing(
    api: ApiProcess, clinic: str
) -> None:
    with api.open_socket() as bare:
        sent = head("POST", "/v1/charges", headers(f"c-{clinic}", announcing(100)))
        bare.sendall(sent + charge_body(clinic))

    assert charge(api, clinic, 7, once=f"c-{clinic}").status == 201
    assert on_record(clinic) == (993, 0, 1)


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_chunked_body_with_its_end_is_obeyed(api: ApiProcess, clinic: str, pieces: int) -> None:
    body = charge_body(clinic)
    size = -(-len(body) // pieces)
    chunks = b"".join(chunk(body[at : at + size]) for at in range(0, len(body), size))
    sent = head("POST", "/v1/charges", headers(f"c-{clinic}", CHUNKED))

    assert exchange(api, sent + chunks + b"0\r\n\r\n").status == 201
    assert on_record(clinic) == (995, 0, 1)


def test_a_body_may_be_absent_if_none_was_announced(api: ApiProcess, clinic: str) -> None:
    for framing in ([], [announcing(0)], [CHUNKED]):
        hold_id = placed(api, clinic, 10)
        sent = head("POST", f"/v1/holds/{hold_id}/capture", headers(hold_id, *framing))

        answer = exchange(api, sent + (b"0\r\n\r\n" if CHUNKED in framing else b""))

        assert (answer.status, answer.json["captured"]) == (200, 10)


@pytest.mark.parametrize("second", ["the same", "another"])
@pytest.mark.parametrize("name", ["idempotency-key", "authorization", "content-type", "host"])
def test_a_header_that_may_come_once_given_twice_is_refused(
    api: ApiProcess, clinic: str, name: str, second: str
) -> None:
    body = charge_body(clinic)
    sent = dict([*headers(f"c-{clinic}"), ("host", "tests")])
    value = sent[name] if second == "the same" else f"{sent[name]}2"
    for lines in (
        [*headers(f"c-{clinic}"), (name, value)],
        [(name.upper(), value), *headers(f"c-{clinic}")],
    ):
        answer = exchange(api, head("POST", "/v1/charges", [*lines, announcing(len(body))]) + body)

        assert answer.status == 400
        assert problem(answer)["detail"] == f"the header {name} was sent twice: send it once"
    assert on_record(clinic) == (1_000, 0, 0)


def test_two_lengths_of_one_body_are_refused(api: ApiProcess, clinic: str) -> None:
    body = charge_body(clinic)
    for second in (announcing(len(body) - 1), ("content-length", f"{len(body)}, 3")):
        lengths = [announcing(len(body)), second]

        # The server itself refuses this, and without a body.
        with api.open_socket() as bare:
            bare.sendall(head("POST", "/v1/charges", headers(f"c-{clinic}", *lengths)) + body)
            assert bare.recv(100).startswith(b"HTTP/1.1 400 ")
    assert on_record(clinic) == (1_000, 0, 0)


@pytest.mark.parametrize("joined", ["k,k", "k,", ",k", "k, k"])
def test_a_key_with_a_comma_may_be_two_that_a_proxy_joined(
    api: ApiProcess, clinic: str, joined: str
) -> None:
    answer = api.request("POST", "/v1/charges", charge_body(clinic), headers(joined))

    assert answer.status == 400
    assert "idempotency-key" in problem(answer)["detail"]
    assert on_record(clinic) == (1_000, 0, 0)


def test_an_honest_repeat_after_a_doubled_key_is_done_once(api: ApiProcess, clinic: str) -> None:
    once, body = f"k-{clinic}", charge_body(clinic)
    doubled = headers(once, ("idempotency-key", once))

    assert api.request("POST", "/v1/charges", body, doubled).status == 400
    for _ in range(2):
        assert api.request("POST", "/v1/charges", body, headers(once)).status == 201
    assert on_record(clinic) == (995, 0, 1)


def test_headers_with_underscores_stand_for_nothing(api: ApiProcess, clinic: str) -> None:
    sent = [*headers(f"c-{clinic}"), ("idempotency_key", "other"), ("content_length", "2")]

    assert api.request("POST", "/v1/charges", charge_body(clinic), sent).status == 201

    assert rows("SELECT 1 FROM api_requests WHERE idempotency_key = 'other'") == []


SMALL, LARGE = 20_000, 300_000
REFUSALS: dict[str, tuple[str, str, list[Header], int, int]] = {
    "no key": ("POST", "/v1/charges", [], SMALL, 401),
    "unknown address": ("POST", "/v1/nothing", [], SMALL, 404),
    "another method": ("PUT", "/v1/charges", [], SMALL, 405),
    "not JSON": ("POST", "/v1/charges", headers("k", content_type="text/plain"), SMALL, 415),
    "doubled": ("POST", "/v1/charges", [*headers("k"), ("content-type", "x/y")], SMALL, 400),
    "a comma": ("POST", "/v1/charges", headers("k,k"), SMALL, 400),
    "too long": ("POST", "/v1/charges", headers("k"), LARGE, 413),
    "too long without a key": ("POST", "/v1/charges", [], LARGE, 413),
    "too long elsewhere": ("POST", "/v1/nothing", [], LARGE, 413),
    "a body with GET": ("GET", "/healthz", [], SMALL, 200),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_that_leaves_the_body_unread_does_not_break_the_next_request(
    api: ApiProcess, refusal: str
) -> None:
    method, path, lines, length, status = REFUSALS[refusal]
    first = head(method, path, [*lines, announcing(length)]) + b"x" * length
    second = head("GET", "/healthz", [])

    answers: list[tuple[Answer, Answer]] = [exchange_two(api, first, second) for _ in range(10)]

    assert {(one.status, two.status) for one, two in answers} == {(status, 200)}
