"""Which answers are repeated, and after how long: the same for every transport."""

import json
from datetime import timedelta
from email.utils import format_datetime

import pytest

import clock
from billing_client.exchange import LONGEST_PAUSE_SECONDS, Answer, Request, Tries, unreachable

BACKOFF = 0.25
IN_PROGRESS = json.dumps({"type": "urn:problem-type:billing:request-in-progress"}).encode()


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer.of(status, named, body, retried=False)


@pytest.mark.parametrize("status", [200, 201, 202, 302, 400, 401, 403, 404, 409, 410, 413, 422])
def test_an_answer_that_would_be_the_same_again_counts(status: int) -> None:
    tries = Tries(5, BACKOFF)
    assert tries.pause_after(answer(status)) is None
    assert not tries.were_repeated


@pytest.mark.parametrize("status", [None, 429, 500, 502, 503, 504])
def test_the_others_are_repeated_at_once_then_after_growing_pauses(status: int | None) -> None:
    tries = Tries(5, BACKOFF)
    seen = None if status is None else answer(status)
    pauses = [tries.pause_after(seen) for _ in range(6)]
    assert pauses[0] == 0
    for pause, least in zip(pauses[1:5], (0.5, 1, 2, 4), strict=True):
        assert pause is not None
        assert least <= pause <= least + BACKOFF
    assert pauses[5] is None
    assert tries.were_repeated


def test_no_pause_is_longer_than_the_longest() -> None:
    tries = Tries(2_000, BACKOFF)
    pauses = [tries.pause_after(None) for _ in range(2_000)]
    assert max(pause for pause in pauses if pause is not None) == LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("3", 3, 3), (" 0 ", 0, 0), ("86400", 20, 20), ("9" * 400, 20, 20),
    ],
    ids=["seconds", "at once", "a day", "for ever"],
)  # fmt: skip
def test_a_server_that_says_when_is_heard(asked: str, least: float, most: float) -> None:
    pause = Tries(1, BACKOFF).pause_after(answer(503, retry_after=asked))
    assert pause is not None
    assert least <= pause <= most


@pytest.mark.parametrize(("from_now", "least", "most"), [(15, 1, 15), (-3_600, 0, 0)])
def test_a_server_that_says_until_when_is_heard(from_now: int, least: float, most: float) -> None:
    until = format_datetime(clock.now() + timedelta(seconds=from_now))
    pause = Tries(1, BACKOFF).pause_after(answer(503, retry_after=until))
    assert pause is not None
    assert least <= pause <= most


@pytest.mark.parametrize(
    "asked", [
        "", "soon", "-1", "1.5", "٣", "Mon, 99 Foo 2026",
        "Thu, 01 Jan 2026 00:00:00 +99999999999999", "Thu, 01 Jan 99999 00:00:00 GMT",
    ],
)  # fmt: skip
def test_a_server_that_says_nonsense_is_not(asked: str) -> None:
    assert Tries(1, BACKOFF).pause_after(answer(503, retry_after=asked)) == 0


def test_a_request_in_progress_is_waited_for_beside_the_failures() -> None:
    tries = Tries(2, BACKOFF)
    busy = answer(409, IN_PROGRESS)
    assert tries.pause_after(busy) == 1
    assert tries.pause_after(answer(503)) == 0
    assert tries.pause_after(answer(409, IN_PROGRESS, retry_after="5")) == 5
    assert tries.pause_after(busy) is None
    assert tries.pause_after(answer(409)) is None


def test_without_retries_the_first_answer_counts() -> None:
    for seen in (None, answer(503), answer(409, IN_PROGRESS)):
        assert Tries(0, BACKOFF).pause_after(seen) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000, b"[1]", b'"x"'])
def test_a_body_of_any_kind_is_no_problem(body: bytes) -> None:
    assert answer(500, body).problem == {}


@pytest.mark.parametrize(
    "wrong", ["a\nb", "a\r\nset-cookie: x", "é", "a b", "", "x" * 201, 7, None]
)
def test_an_id_that_could_not_stand_in_a_header_is_none(wrong: object) -> None:
    assert answer(404, json.dumps({"request_id": wrong}).encode()).request_id is None
    assert answer(404, x_request_id=str(wrong) + "\n").request_id is None


def test_what_is_sent_shows_no_secret() -> None:
    request = Request(
        "POST", "https://me:S3cret@billing.example/v1/x", {"authorization": "Bearer S3cret"},
        body=None, idempotency_key="key-1",
    )  # fmt: skip
    error = unreachable(request, "ReadTimeoutError")
    assert str(error) == "billing.example cannot be reached: ReadTimeoutError"
    assert error.idempotency_key == "key-1"
    assert "S3cret" not in f"{request!r} {error!r}"
