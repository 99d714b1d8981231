"""What a gateway signed is always recorded, once; what it did not sign never is."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from redis import Redis

from tests.conftest import new_database
from tests.stack_process import eventually
from tests.webhook_receiver.conftest import RAZORPAY_SECRETS, STRIPE_SECRETS
from tests.webhook_receiver.gateway_delivery import (
    GatewayDelivery,
    captured,
    completed,
    razorpay_delivery,
    stripe_delivery,
)
from tests.webhook_receiver.receiver_process import ReceiverProcess, one_process

MIB = 1024 * 1024
PERSONAL = "somebody@example.com"

Make = Callable[..., GatewayDelivery]
both_gateways = pytest.mark.parametrize("make", [razorpay_delivery, stripe_delivery])


def digest_id(sent: GatewayDelivery) -> str:
    return f"sha256:{sha256(sent.body).hexdigest()}"


def test_a_new_event_of_razorpay_is_recorded_and_the_same_again_was_seen_before(
    receiver: ReceiverProcess,
) -> None:
    sent = razorpay_delivery(event_id="Event00000001")

    first, second = sent.post_to(receiver), sent.post_to(receiver)

    assert (first.status, first.said) == (202, {"status": "recorded"})
    assert (second.status, second.said) == (200, {"status": "seen before"})
    [row] = receiver.rows_of("Event00000001")
    assert (row.source, row.state, row.body) == ("razorpay", "pending", sent.body)


def test_an_event_of_stripe_is_known_by_the_id_in_its_body(receiver: ReceiverProcess) -> None:
    body = completed("evt_0001")
    first, again = stripe_delivery(body, age_seconds=60), stripe_delivery(body)

    assert [first.post_to(receiver).status, again.post_to(receiver).status] == [202, 200]

    [row] = receiver.rows_of("evt_0001")
    assert (row.source, row.state, row.body) == ("stripe", "pending", body)


def test_a_known_id_with_another_body_is_a_row_of_its_own(receiver: ReceiverProcess) -> None:
    # Given a genuine body that somebody sends under the id of another
    first = razorpay_delivery(captured(), event_id="Event00000002")
    second = razorpay_delivery(captured(), event_id="Event00000002")

    assert [first.post_to(receiver).status, second.post_to(receiver).status] == [202, 202]
    assert [first.post_to(receiver).status, second.post_to(receiver).status] == [200, 200]
    assert [row.body for row in receiver.rows_of("Event00000002")] == [first.body, second.body]


@pytest.mark.parametrize("given", [None, "", "x" * 256, "a b", "m\xe9", "a\tb"])
def test_a_razorpay_id_that_cannot_be_kept_is_made_of_the_body(
    receiver: ReceiverProcess, given: str | None
) -> None:
    sent = razorpay_delivery(x_razorpay_event_id=given)

    assert [sent.post_to(receiver).status, sent.post_to(receiver).status] == [202, 200]
    assert len(receiver.rows_of(digest_id(sent))) == 1


@pytest.mark.parametrize(
    "event_id", ["5", "null", '""', '"a b"', '"\\u0000"', '"\\ud800"', f'"{"x" * 256}"', "{}"]
)
def test_a_stripe_id_that_cannot_be_kept_is_made_of_the_body(
    receiver: ReceiverProcess, event_id: str
) -> None:
    sent = stripe_delivery(b'{"id": %s}' % event_id.encode())

    assert [sent.post_to(receiver).status, sent.post_to(receiver).status] == [202, 200]
    assert len(receiver.rows_of(digest_id(sent))) == 1


@both_gateways
@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/xml", "\xff"])
def test_whatever_it_is_announced_as_what_is_signed_is_recorded(
    receiver: ReceiverProcess, make: Make, content_type: str | None
) -> None:
    sent = make(content_type=content_type)

    assert sent.post_to(receiver).status == 202
    assert sent.source in {row.source for row in receiver.rows_with(sent.body)}


@both_gateways
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"not json", id="no JSON"),
        pytest.param(b"\xff\xfe{}\x00", id="invalid UTF-8"),
        pytest.param(b'"text"', id="no object"),
        pytest.param(b'{"id": "evt_1", "n": NaN}', id="NaN"),
        pytest.param(b"[" * 100_000, id="nested too deeply"),
        pytest.param(b'{"id":' * 100_000 + b"1" + b"}" * 100_000, id="deep and well-formed"),
        pytest.param(b'{"n": ' + b"9" * 5_000 + b"}", id="a number of 5,000 digits"),
        pytest.param(b"1" * MIB, id="a mebibyte"),
    ],
)
def test_whatever_it_holds_what_is_signed_is_recorded(
    receiver: ReceiverProcess, make: Make, body: bytes
) -> None:
    sent = make(body)

    assert sent.post_to(receiver).status == 202
    assert sent.source in {row.source for row in receiver.rows_with(sent.body)}


def test_nothing_at_all_is_recorded_too_where_it_is_signed(receiver: ReceiverProcess) -> None:
    assert razorpay_delivery(b"", event_id="EventOfNothing").post_to(receiver).status == 202
    assert [row.body for row in receiver.rows_of("EventOfNothing")] == [b""]


@pytest.mark.parametrize("secret", RAZORPAY_SECRETS)
def test_either_razorpay_secret_signs_while_they_are_rotated(
    receiver: ReceiverProcess, secret: str
) -> None:
    assert razorpay_delivery(secret=secret).post_to(receiver).status == 202


@pytest.mark.parametrize("secret", STRIPE_SECRETS)
def test_either_stripe_secret_signs_while_they_are_rotated(
    receiver: ReceiverProcess, secret: str
) -> None:
    assert stripe_delivery(secret=secret).post_to(receiver).status == 202


def signature_of(sent: GatewayDelivery) -> tuple[str, str]:
    [header] = [(name, value) for name, value in sent.headers if name.endswith("-signature")]
    return header


def edited(make: Make, edit: Callable[[str], str]) -> GatewayDelivery:
    """A delivery about somebody, whose signature was changed on its way."""
    sent = make(captured(email=PERSONAL))
    name, value = signature_of(sent)
    rest = tuple(header for header in sent.headers if header[0] != name)
    return replace(sent, headers=(*rest, (name, edit(value))))


DEFECTS: dict[str, Callable[[Make], GatewayDelivery]] = {
    "another secret": lambda make: make(captured(email=PERSONAL), secret="somebody else's secret"),
    "another body": lambda make: replace(make(), body=captured(email=PERSONAL)),
    "empty": lambda make: edited(make, lambda _: ""),
    "upper case": lambda make: edited(make, str.upper),
    "cut off": lambda make: edited(make, lambda value: value[:-1]),
    "with more behind": lambda make: edited(make, lambda value: value + "0"),
    "beyond ASCII": lambda make: edited(make, lambda value: value[:-1] + "\xe9"),
    "twice in one header": lambda make: edited(make, lambda value: f"{value},{value}"),
    "very long": lambda make: edited(make, lambda value: value + ",v1=" + "0" * 5_000),
    "text": lambda make: edited(make, lambda _: "please"),
}


@both_gateways
@pytest.mark.parametrize("defect", DEFECTS)
def test_what_is_not_properly_signed_is_refused_and_nothing_of_it_is_logged(
    receiver: ReceiverProcess, make: Make, defect: str
) -> None:
    spoilt = DEFECTS[defect](make)
    logged = len(receiver.log)

    answer = spoilt.post_to(receiver)

    assert answer.status == 401
    assert signature_of(spoilt)[0] in answer.json["error"].lower()
    assert receiver.rows_with(spoilt.body) == []
    eventually("it is logged", lambda: "request refused" in receiver.log[logged:], seconds=5)
    assert PERSONAL not in receiver.log[logged:]
    assert "pay_" not in receiver.log[logged:]


@both_gateways
def test_a_signature_that_is_missing_is_refused(receiver: ReceiverProcess, make: Make) -> None:
    sent = make()
    name, _ = signature_of(sent)
    without = replace(sent, headers=tuple(h for h in sent.headers if h[0] != name))

    assert without.post_to(receiver).status == 401
    assert receiver.rows_with(sent.body) == []


def test_a_stripe_signature_is_good_for_five_minutes(receiver: ReceiverProcess) -> None:
    assert stripe_delivery(age_seconds=298).post_to(receiver).status == 202
    too_old = stripe_delivery(age_seconds=301).post_to(receiver)

    assert too_old.status == 401
    assert "more than 300 seconds old" in too_old.json["error"]


def test_a_stripe_clock_that_is_ahead_is_tolerated(receiver: ReceiverProcess) -> None:
    assert stripe_delivery(age_seconds=-3_600).post_to(receiver).status == 202


@both_gateways
def test_an_unsigned_delivery_hears_first_what_else_is_wrong(
    receiver: ReceiverProcess, make: Make
) -> None:
    unsigned = edited(make, lambda _: "please")
    other_headers = tuple(h for h in unsigned.headers if h[0] != "content-type")
    as_text = replace(unsigned, headers=(*other_headers, ("content-type", "text/plain")))
    no_json = replace(unsigned, body=b"not json")

    assert unsigned.post_to(receiver).status == 401
    answer = as_text.post_to(receiver)
    assert answer.status == 415
    assert "application/json" in answer.json["error"]
    answer = no_json.post_to(receiver)
    assert (answer.status, answer.said) == (400, {"error": "not JSON, not signed"})


@both_gateways
def test_a_byte_more_than_a_mebibyte_is_refused_though_it_is_signed(
    receiver: ReceiverProcess, make: Make
) -> None:
    sent = make(b"1" * (MIB + 1))

    answer = sent.post_to(receiver)

    assert answer.status == 413
    assert answer.said == {"error": "the body must be at most 1048576 bytes"}
    assert receiver.rows_with(sent.body) == []


@both_gateways
def test_another_method_is_refused_and_told_the_right_one(
    receiver: ReceiverProcess, make: Make
) -> None:
    answer = receiver.get(make().path)

    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


@both_gateways
def test_an_unknown_address_is_told_of_the_doors(receiver: ReceiverProcess, make: Make) -> None:
    path = make().path

    assert path in receiver.request("POST", f"{path}/").json["error"]


def test_the_two_gateways_nudge_the_workers_of_payments(
    receiver: ReceiverProcess, redis: Redis
) -> None:
    for sent in (razorpay_delivery(), stripe_delivery()):
        assert sent.post_to(receiver).status == 202

    eventually("both nudges are there", lambda: redis.llen("payments") == 2, seconds=5)

    messages = [json.loads(message) for message in redis.lrange("payments", 0, -1)]
    assert {message["headers"]["argsrepr"] for message in messages} == {
        "('razorpay',)", "('stripe',)",
    }  # fmt: skip
    assert redis.llen("leads") == 0


def test_without_secrets_the_gateways_are_asked_to_come_again(log_file: Path) -> None:
    with (
        new_database() as url,
        one_process(
            log_file, DATABASE_URL=url, BILLING_DATA_DIR=str(log_file.parent),
            RAZORPAY_WEBHOOK_SECRETS=None, STRIPE_WEBHOOK_SECRETS="",
        ) as receiver,
    ):  # fmt: skip
        for sent, variable in (
            (razorpay_delivery(), "RAZORPAY_WEBHOOK_SECRETS"),
            (stripe_delivery(), "STRIPE_WEBHOOK_SECRETS"),
        ):
            answer = sent.post_to(receiver)

            assert answer.status == 503
            assert variable in answer.json["error"]
            assert answer.headers["retry-after"] == "5"
        assert receiver.event_ids() == set()
