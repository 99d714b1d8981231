"""Nobody without a secret gets anything into the inbox; whoever has one is understood."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.conftest import LEAD_SECRET
from tests.webhook_receiver.conftest import SECOND_SECRET
from tests.webhook_receiver.receiver_process import PATH, Delivery, ReceiverProcess, delivery

STRANGER = "whsec_" + "c29tZWJvZHktZWxzZXMtc2VjcmV0LTMyLWJ5dGVzISE="
VALUE = "AAAA" * 10 + "AAA="

DEFECTS: dict[str, Callable[[], Delivery]] = {
    "no id": lambda: delivery(webhook_id=None),
    "no timestamp": lambda: delivery(webhook_timestamp=None),
    "no signature": lambda: delivery(webhook_signature=None),
    "an empty id": lambda: delivery(webhook_id=""),
    "an empty timestamp": lambda: delivery(webhook_timestamp=""),
    "an empty signature": lambda: delivery(webhook_signature=""),
    "another secret": lambda: delivery(secret=STRANGER),
    "another body": lambda: replace(delivery(b'{"n": 1}'), body=b'{"n": 2}'),
    "another id": lambda: delivery(webhook_id="msg_other"),
    "another timestamp": lambda: delivery(age_seconds=10, webhook_timestamp=_now_text()),
    "301 seconds old": lambda: delivery(age_seconds=301),
    # A minute more than it needs: on a busy machine a request is on its way for seconds.
    "from the future": lambda: delivery(age_seconds=-360),
    "a year old": lambda: delivery(age_seconds=31_536_000),
    "timestamp NaN": lambda: delivery(webhook_timestamp="NaN"),
    "timestamp inf": lambda: delivery(webhook_timestamp="inf"),
    "timestamp 1e9": lambda: delivery(webhook_timestamp="1e9"),
    "timestamp with a fraction": lambda: delivery(webhook_timestamp=_now_text() + ".0"),
    "timestamp with a sign": lambda: delivery(webhook_timestamp="+" + _now_text()),
    "timestamp with underscores": lambda: delivery(webhook_timestamp="1_700_000_000"),
    "negative timestamp": lambda: delivery(webhook_timestamp="-1"),
    "timestamp in milliseconds": lambda: delivery(webhook_timestamp=_now_text() + "000"),
    "timestamp of 4,000 digits": lambda: delivery(webhook_timestamp="9" * 4_000),
    "timestamp of 5,000 digits": lambda: delivery(webhook_timestamp="9" * 5_000),
    "non-ASCII id": lambda: delivery(webhook_id="m\xe9"),
    "non-ASCII timestamp": lambda: delivery(webhook_timestamp="\xb2\xb3"),
    "non-ASCII signature": lambda: delivery(webhook_signature="v1,\xff\xfe"),
    "an id of 256 characters": lambda: delivery(event_id="x" * 256),
    "an id of 5,000 characters": lambda: delivery(event_id="x" * 5_000),
    "signature without a label": lambda: delivery(webhook_signature=VALUE),
    "a label alone": lambda: delivery(webhook_signature="v1,"),
    "commas": lambda: delivery(webhook_signature=",,,"),
    "blanks": lambda: delivery(webhook_signature="v1 , v1"),
    "not base64": lambda: delivery(webhook_signature="v1,!!!"),
    "another label": lambda: _relabelled("v2,"),
    "an asymmetric label": lambda: _relabelled("v1a,"),
    "the label in capitals": lambda: _relabelled("V1,"),
    "a truncated signature": lambda: _edited(lambda signature: signature[:-1]),
    "a signature with more behind": lambda: _edited(lambda signature: signature + "A"),
    "another alphabet": lambda: _edited(lambda signature: signature.lower()),
    "parted by commas": lambda: _edited(lambda signature: f"v1,{VALUE},{signature}"),
    "a thousand wrong ones": lambda: delivery(webhook_signature=f"v1,{VALUE} " * 1_000),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_delivery_that_is_not_properly_signed_is_refused(
    receiver: ReceiverProcess, defect: str
) -> None:
    spoilt = DEFECTS[defect]()

    answer = receiver.post(spoilt)

    assert answer.status == 401
    assert answer.json["error"]
    if "webhook-id" in spoilt.headers:
        assert receiver.rows_of(spoilt.id) == []


@pytest.mark.parametrize("age_seconds", [240, -298])
def test_a_clock_that_is_off_by_less_than_five_minutes_is_tolerated(
    receiver: ReceiverProcess, age_seconds: int
) -> None:
    assert receiver.post(delivery(age_seconds=age_seconds)).status == 202


@pytest.mark.parametrize("secret", [LEAD_SECRET, SECOND_SECRET])
def test_either_secret_signs_while_they_are_rotated(receiver: ReceiverProcess, secret: str) -> None:
    assert receiver.post(delivery(secret=secret)).status == 202


def test_one_fitting_signature_in_the_list_is_enough(receiver: ReceiverProcess) -> None:
    # Given what a sender lists that rotates its secrets and also signs asymmetrically
    stranger = delivery(secret=STRANGER).headers["webhook-signature"]
    sent = _edited(lambda signature: f"v1a,{VALUE} {stranger}  {signature} v9,x")

    assert receiver.post(sent).status == 202


def test_header_names_may_be_written_in_any_case(receiver: ReceiverProcess) -> None:
    sent = delivery()
    headers = [(name.title(), value) for name, value in sent.headers.items()]

    assert receiver.request("POST", PATH, sent.body, headers).status == 202


def _now_text() -> str:
    return delivery().headers["webhook-timestamp"]


def _edited(edit: Callable[[str], str]) -> Delivery:
    sent = delivery()
    headers = {**sent.headers, "webhook-signature": edit(sent.headers["webhook-signature"])}
    return replace(sent, headers=headers)


def _relabelled(label: str) -> Delivery:
    return _edited(lambda signature: label + signature.removeprefix("v1,"))
