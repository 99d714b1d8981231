"""`verify_notice`: what is signed with a secret of the endpoint is a notice, all else is named."""

import base64
import hmac
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from werkzeug.datastructures import Headers

import clock
from billing_client import (
    InvalidRequest,
    Notice,
    NoticeForged,
    NoticeNotSigned,
    NoticeRefused,
    NoticeTimestampOff,
    NoticeUnreadable,
    verify_notice,
)
from billing_client.notice_types import BalanceLow
from billing_client.signing import Signer
from service import standard_webhooks
from tests.billing_client.notice_world import (
    NOW,
    OF_NOBODY,
    OLD_SECRET,
    SECRET,
    body_of,
    example,
    signed,
)

PUBLISHED = {
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "timestamp": 1614265330,
    "body": b'{"test": 2432232314}',
    "signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
"""The vector of the published libraries (standard-webhooks, libraries/python/tests and others)."""
LOW = body_of("balance.low", example("balance.low"))
NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")


def verified(body: bytes = LOW, headers: Any = None, secrets: Any = SECRET, **more: Any) -> Notice:
    given = signed(body) if headers is None else headers
    return verify_notice(body, given, secrets, **{"now": NOW, **more})


def test_a_signed_notice_is_read_with_its_figures() -> None:
    notice = verified()
    assert isinstance(notice, BalanceLow)
    assert (notice.id, notice.topic, notice.account) == ("ntc_17", "balance.low", "clinic:42")
    assert (notice.sequence, notice.balance, notice.low_balance) == (17, 420, 500)
    assert notice.timestamp == datetime(2026, 11, 30, 11, 59, 58, 123456, tzinfo=UTC)
    assert (notice.level, notice.level.is_known) == ("low", True)


def test_the_published_vector_is_signed_and_verified_as_it_is_published() -> None:
    vector: Any = PUBLISHED
    signer = Signer(vector["secret"])
    assert signer.sign(vector["id"], vector["timestamp"], vector["body"]) == vector["signature"]
    headers = dict(
        zip(NAMES, (vector["id"], str(vector["timestamp"]), vector["signature"]), strict=True)
    )
    # Its body is no notice, which is seen only after the signature has been found to fit
    with pytest.raises(NoticeUnreadable, match="type is missing"):
        verify_notice(
            vector["body"],
            headers,
            vector["secret"],
            now=datetime.fromtimestamp(vector["timestamp"], UTC),
        )


def test_what_the_published_library_signs_is_verified_and_the_other_way_round() -> None:
    now = clock.real_now()
    theirs = dict(
        zip(
            NAMES,
            ("ntc_5", str(int(now.timestamp())), Webhook(SECRET).sign("ntc_5", now, LOW.decode())),
            strict=True,
        )
    )
    assert verify_notice(LOW, theirs, SECRET).id == "ntc_5"
    ours = signed(LOW, at=now)
    assert Webhook(SECRET).verify(LOW, ours)["type"] == "balance.low"
    for wrong in ({**ours, "webhook-id": "ntc_18"}, signed(LOW, at=now, secret=OF_NOBODY)):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(LOW, wrong)
        with pytest.raises(NoticeForged):
            verify_notice(LOW, wrong, SECRET)


def test_it_signs_and_verifies_as_the_server_does() -> None:
    timestamp = int(NOW.timestamp())
    server = standard_webhooks.sign(SECRET, message_id="ntc_17", timestamp=timestamp, body=LOW)
    assert server == signed(LOW)["webhook-signature"]


@pytest.mark.parametrize(
    "given",
    [
        lambda headers: {name.title(): value for name, value in headers.items()},
        lambda headers: {name.upper(): value for name, value in headers.items()},
        lambda headers: Headers(headers.items()),
        lambda headers: [(name.encode(), value.encode()) for name, value in headers.items()],
        lambda headers: (
            {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
            | {"wsgi.input": object(), "REQUEST_METHOD": "POST"}
        ),
        lambda headers: message_of(headers),  # noqa: PLW0108 - it stands below
        lambda headers: {**headers, "x-other": "1", 5: None},
    ],
    ids=["title", "upper", "werkzeug", "asgi", "environ", "http.server", "beside others"],
)
def test_the_headers_of_any_framework_are_read(given: Callable[[dict[str, str]], Any]) -> None:
    assert verified(headers=given(signed(LOW))).id == "ntc_17"


def message_of(headers: dict[str, str]) -> Message:
    message = Message()
    for name, value in headers.items():
        message[name] = value
    return message


@pytest.mark.parametrize("body", [bytearray(LOW), memoryview(LOW)], ids=["bytearray", "view"])
def test_a_body_in_any_form_of_bytes_is_verified(body: Any) -> None:
    assert verify_notice(body, signed(LOW), SECRET, now=NOW).id == "ntc_17"


def test_during_a_rotation_either_secret_and_either_signature_fits() -> None:
    new, old = signed(LOW), signed(LOW, secret=OLD_SECRET)
    both = f"{new['webhook-signature']} {old['webhook-signature']}"
    # A receiver that has both secrets takes whatever is signed with one of them
    for headers in (new, old, {**new, "webhook-signature": both}):
        assert verified(headers=headers, secrets=[OLD_SECRET, SECRET]).id == "ntc_17"
    # One that still has the old one, or already the new one, takes what is signed with both
    for secret in (SECRET, OLD_SECRET):
        assert verified(headers={**new, "webhook-signature": both}, secrets=secret)
    with pytest.raises(NoticeForged):
        verified(headers=new, secrets=OLD_SECRET)


def test_signatures_of_another_kind_are_passed_over() -> None:
    headers = signed(LOW)
    listed = f"v1a,AAAA nothing v2,  v1,zz {headers['webhook-signature']} v1,"
    assert verified(headers={**headers, "webhook-signature": listed})


@pytest.mark.parametrize(
    ("seconds", "in_time"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)]
)
def test_the_timestamp_counts_in_both_directions(seconds: int, in_time: bool) -> None:
    later = NOW + timedelta(seconds=seconds)
    if in_time:
        assert verified(now=later)
        return
    with pytest.raises(NoticeTimestampOff) as caught:
        verified(now=later)
    assert caught.value.off_seconds == seconds
    where = "old" if seconds > 0 else "ahead of this computer's clock"
    assert f"301 seconds {where}, 300 are allowed" in str(caught.value)


def test_the_tolerance_can_be_chosen() -> None:
    assert verified(now=NOW + timedelta(hours=1), tolerance=timedelta(hours=1))
    with pytest.raises(NoticeTimestampOff):
        verified(now=NOW + timedelta(seconds=2), tolerance=timedelta(seconds=1))


FORGED: list[tuple[str, dict[str, str]]] = [
    ("another id", {"webhook-id": "ntc_18"}),
    ("another time", {"webhook-timestamp": str(int(NOW.timestamp()) + 1)}),
    ("no value", {"webhook-signature": "v1,"}),
    ("no comma", {"webhook-signature": "v1"}),
    ("no base64", {"webhook-signature": "v1,%%%%"}),
    ("not padded", {"webhook-signature": "v1,abc"}),
    ("no ASCII", {"webhook-signature": "v1,é"}),
    ("a lone surrogate", {"webhook-signature": "v1,\ud800"}),
    ("another kind", {"webhook-signature": signed(LOW)["webhook-signature"].replace("v1", "v1a")}),
    ("comma between", {"webhook-signature": f"v1,aa,{signed(LOW)['webhook-signature']}"}),
]


@pytest.mark.parametrize("change", [one for _, one in FORGED], ids=[name for name, _ in FORGED])
def test_a_signature_that_does_not_fit_is_forged(change: dict[str, str]) -> None:
    with pytest.raises(NoticeForged, match="give the secret that"):
        verified(headers={**signed(LOW), **change})


def test_a_body_that_was_written_anew_is_forged() -> None:
    with pytest.raises(NoticeForged, match="the bytes that were received"):
        verified(LOW.replace(b",", b", "), headers=signed(LOW))


NOT_SIGNED: list[tuple[str, Any, str]] = [
    ("none", {}, "webhook-id, webhook-timestamp, webhook-signature: missing"),
    ("no signature", {"webhook-signature": None}, "webhook-signature: missing"),
    ("empty", {"webhook-signature": "  "}, "webhook-signature: missing"),
    ("dot", {"webhook-id": "ntc_1.2"}, "webhook-id: must be"),
    ("blank", {"webhook-id": "ntc 1"}, "webhook-id: must be"),
    ("long", {"webhook-id": "n" * 256}, "webhook-id: must be"),
    ("no ASCII", {"webhook-id": "ntc_é"}, "webhook-id: must be"),
    ("a time", {"webhook-timestamp": "2026-11-30"}, "webhook-timestamp: must be unix seconds"),
    ("a fraction", {"webhook-timestamp": "1796040000.5"}, "must be unix seconds"),
    ("below zero", {"webhook-timestamp": "-5"}, "must be unix seconds"),
    ("no digits", {"webhook-timestamp": "٣"}, "must be unix seconds"),
    ("huge", {"webhook-timestamp": "9" * 5_000}, "must be unix seconds"),
    ("zero", {"webhook-timestamp": "01796040000"}, "must not begin with a zero"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), [one[1:] for one in NOT_SIGNED], ids=[one[0] for one in NOT_SIGNED]
)
def test_malformed_headers_are_named(change: Any, message: str) -> None:
    headers = {**signed(LOW), **change} if change else {}
    with pytest.raises(NoticeNotSigned, match=message):
        verified(headers=headers)


def test_a_header_that_stands_there_twice_is_refused() -> None:
    pairs = [*signed(LOW).items(), ("Webhook-Id", "ntc_18")]
    with pytest.raises(NoticeNotSigned, match="webhook-id: stands there twice"):
        verified(headers=pairs)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"type":' + b"1" * 5_000 + b"}", "not JSON"),
        (b"[]", "is not an object"),
        (b'{"type":"a.b"}', "timestamp is missing"),
        (b'{"type":"a.b","timestamp":"2026-11-30T12:00:00","data":{}}', "has no time zone"),
        (b'{"type":"a.b","timestamp":"2026-11-30T12:00:00Z","data":[]}', "data is not a dict"),
        (b'{"type":null,"timestamp":"2026-11-30T12:00:00Z","data":{}}', "type is not a str"),
        (body_of("balance.low", {"account": "clinic:42", "sequence": 1}), "level is missing"),
        (body_of("balance.low", example("balance.low", balance=1.5)), "balance is not a whole"),
    ],
)
def test_a_body_that_is_no_notice_is_named(body: bytes, message: str) -> None:
    with pytest.raises(NoticeUnreadable, match=message):
        verified(body, signed(body))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secrets": []}, "secrets: give the secret"),
        ({"secrets": None}, "secrets: give the secret"),
        ({"secrets": ""}, r"secrets\[0\]: must be whsec_"),
        ({"secrets": [SECRET, "whsk_" + SECRET[6:]]}, r"secrets\[1\]: must be whsec_"),
        ({"secrets": "whsec_short"}, r"secrets\[0\]: must be whsec_"),
        ({"secrets": [None]}, r"secrets\[0\]: must be whsec_"),
        ({"headers": 5}, "headers: must be a mapping"),
        ({"headers": ["webhook-id"]}, "headers: must be a mapping"),
        ({"now": datetime(2026, 11, 30)}, "now: must be a datetime with a time zone"),  # noqa: DTZ001
        ({"body": LOW.decode(), "headers": {}}, "body: must be the bytes that were received"),
        ({"body": {"type": "balance.low"}, "headers": {}}, "not dict: verify before anything"),
    ],
)
def test_a_wrong_argument_is_named_and_its_secret_is_not(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        verified(**change)
    assert SECRET[6:] not in str(caught.value)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []
    really = hmac.compare_digest

    def noting(*pair: Any) -> bool:
        compared.append(pair)
        return really(*pair)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    headers = signed(LOW)
    assert verified(headers={**headers, "webhook-signature": f"v1,no {headers[NAMES[2]]}"})
    assert [pair[1][:5] for pair in compared] == [b"v1,no", headers[NAMES[2]][:5].encode()]


def error_of(body: bytes, headers: Any) -> NoticeRefused | None:
    try:
        verify_notice(body, headers, [SECRET, OLD_SECRET], now=NOW)
    except NoticeRefused as error:
        return error
    return None


def test_nothing_that_can_be_sent_raises_anything_else() -> None:
    """Bytes and headers of all sorts, signed or not."""
    odd = ["", "v1,", "v1,===", "\x00", "é", "v1,\ud800", base64.b64encode(b"x").decode(), "9" * 13]
    for body in (b"", b"\x80", b"null", b'{"type":{}}', b"1e999", LOW):
        for headers in [
            signed(body),
            *({**signed(body), name: value} for name in NAMES for value in odd),
        ]:
            error = error_of(body, headers)
            if error is not None:
                twin = pickle.loads(pickle.dumps(error))  # noqa: S301 - of our own making
                assert (type(twin), str(twin)) == (type(error), str(error))
