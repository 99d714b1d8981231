"""Our signatures against the published library, the published vectors, and hostile headers."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

import settings
from service.signatures import SignatureError
from service.standard_webhooks import sign, verify

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes......").decode()
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SENT_AT = int(NOW.timestamp())
BODY = b'{"type":"lead.created"}'

VECTORS = settings.PROJECT_DIR.parent / "shared" / "vectors" / "standard-webhooks.json"

secrets = st.binary(min_size=24, max_size=64).map(
    lambda key: "whsec_" + base64.b64encode(key).decode()
)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255)
bodies = st.text(st.characters(codec="utf-8"))


def check(**changes: Any) -> None:
    """Verify a proper delivery, but for `changes`."""
    delivery: dict[str, Any] = {
        "message_id": "msg_1",
        "timestamp": str(SENT_AT),
        "signatures": sign(SECRET, message_id="msg_1", timestamp=SENT_AT, body=BODY),
        "body": BODY,
        "now": NOW,
    }
    verify(changes.pop("secrets", [SECRET]), **delivery | changes)


@given(secrets, ids, bodies)
def test_we_sign_what_the_published_library_signs(secret: str, message_id: str, body: str) -> None:
    ours = sign(secret, message_id=message_id, timestamp=SENT_AT, body=body.encode())

    assert ours == Webhook(secret).sign(message_id, NOW, body)


@given(secrets, ids, bodies)
def test_we_accept_what_the_published_library_signed(
    secret: str, message_id: str, body: str
) -> None:
    signed = Webhook(secret).sign(message_id, NOW, body)

    verify(
        [secret], message_id=message_id, timestamp=str(SENT_AT), signatures=signed,
        body=body.encode(), now=NOW,
    )  # fmt: skip


@given(secrets, ids, bodies)
def test_the_published_library_accepts_what_we_sign(
    secret: str, message_id: str, body: str
) -> None:
    sent_at = int(datetime.now(UTC).timestamp())  # noqa: TID251 - the library reads the clock
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": sign(
            secret, message_id=message_id, timestamp=sent_at, body=body.encode()
        ),
    }

    Webhook(secret).verify(body, headers, json_parse=False)


@given(st.binary(), st.binary())
def test_a_body_need_not_be_text_and_must_be_the_one_signed(body: bytes, other: bytes) -> None:
    signatures = sign(SECRET, message_id="msg_1", timestamp=SENT_AT, body=body)

    check(body=body, signatures=signatures)
    if other != body:
        with pytest.raises(SignatureError):
            check(body=other, signatures=signatures)


@given(ids, ids)
def test_the_id_must_be_the_one_signed(message_id: str, other: str) -> None:
    signatures = sign(SECRET, message_id=message_id, timestamp=SENT_AT, body=BODY)

    check(message_id=message_id, signatures=signatures)
    if other != message_id:
        with pytest.raises(SignatureError):
            check(message_id=other, signatures=signatures)


@given(secrets)
def test_another_secret_does_not_fit(secret: str) -> None:
    if secret != SECRET:
        with pytest.raises(SignatureError, match="no listed signature fits"):
            check(secrets=[secret])


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_timestamp_within_five_minutes_is_good(seconds: int) -> None:
    check(now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-86_400, -301, -300.000001, 300.000001, 301, 86_400])
def test_a_timestamp_further_away_is_not(seconds: float) -> None:
    with pytest.raises(SignatureError, match="more than 300 seconds from our clock"):
        check(now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("secrets_", [[SECRET, OTHER], [OTHER, SECRET]])
def test_any_configured_secret_may_have_signed(secrets_: list[str]) -> None:
    check(secrets=secrets_)


def test_without_a_secret_nothing_fits() -> None:
    with pytest.raises(SignatureError):
        check(secrets=[])


def test_one_fitting_signature_among_others_is_enough() -> None:
    good = sign(SECRET, message_id="msg_1", timestamp=SENT_AT, body=BODY)
    old = sign(OTHER, message_id="msg_1", timestamp=SENT_AT, body=BODY)

    for listed in (f"{old} {good}", f"{good} {old}", f"v1a,AAAA  {good} ", f"x {good}"):
        check(signatures=listed)
    for listed in (f"{old},{good}", f"v2,{good.removeprefix('v1,')}", good[:-1], good.upper()):
        with pytest.raises(SignatureError):
            check(signatures=listed)


@pytest.mark.parametrize("header", ["message_id", "timestamp", "signatures"])
@pytest.mark.parametrize("value", [None, ""])
def test_each_header_is_needed(header: str, value: str | None) -> None:
    with pytest.raises(SignatureError, match="are needed"):
        check(**{header: value})


@pytest.mark.parametrize("message_id", ["x" * 256, "a\nb", "a\x00b", "é", "\ud800", "\x7f"])
def test_an_id_that_cannot_be_kept_is_refused_though_it_is_signed(message_id: str) -> None:
    with pytest.raises(SignatureError, match="at most 255 printable ASCII"):
        check(message_id=message_id)


@pytest.mark.parametrize(
    "timestamp",
    [
        "NaN",
        "inf",
        "-1",
        "+1",
        "1.5",
        "1e9",
        " 1",
        "1_000",
        "0x10",
        "१२३",
        "²",
        "9" * 13,
        "9" * 5000,
    ],
)
def test_a_timestamp_is_unix_seconds_and_nothing_else(timestamp: str) -> None:
    with pytest.raises(SignatureError, match="must be unix seconds"):
        check(timestamp=timestamp)


hostile = st.none() | st.text() | st.text(st.sampled_from("v1a, +/=AQ0\x00\ud800é"))


@given(hostile, hostile, hostile, st.binary())
@example("m", "0" * 12, "v1,", b"")
@example("m", str(SENT_AT), "\ud800", b"")
@example("m", str(SENT_AT), "v1,é", b"")
@example("m", str(SENT_AT), "v1,=", b"")
def test_whatever_the_headers_hold_the_answer_is_a_signature_error(
    message_id: str | None, timestamp: str | None, signatures: str | None, body: bytes
) -> None:
    with pytest.raises(SignatureError):
        check(message_id=message_id, timestamp=timestamp, signatures=signatures, body=body)


@given(hostile)
def test_whatever_the_signature_header_holds_the_answer_is_a_signature_error(
    signatures: str | None,
) -> None:
    with pytest.raises(SignatureError):
        check(signatures=signatures)


@given(st.text(), st.text(), st.binary())
def test_an_error_never_repeats_what_a_stranger_sent(
    message_id: str, signatures: str, body: bytes
) -> None:
    marked = "stranger" + signatures
    with pytest.raises(SignatureError) as caught:
        check(message_id=message_id, signatures=marked, body=body)

    assert "stranger" not in str(caught.value)


def test_the_published_library_and_we_refuse_the_same_old_delivery() -> None:
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1000000000",
        "webhook-signature": sign(SECRET, message_id="msg_1", timestamp=1_000_000_000, body=BODY),
    }

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY.decode(), headers)
    with pytest.raises(SignatureError):
        check(timestamp="1000000000", signatures=headers["webhook-signature"])


def test_the_vector_of_the_published_libraries() -> None:
    # From the tests of the Python, Go, PHP, Java and C# libraries of standard-webhooks.
    assert (
        sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp=1614265330,
            body=b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def _vectors(kind: str) -> list[Any]:
    vectors: list[Any] = json.loads(VECTORS.read_text())[kind] if VECTORS.exists() else []
    return vectors


@pytest.mark.skipif(not VECTORS.exists(), reason="the folder of published vectors is not here")
def test_the_vectors_beside_the_checkout() -> None:
    for vector in _vectors("published"):
        signed = sign(
            vector["secret"], message_id=vector["id"], timestamp=int(vector["timestamp"]),
            body=vector["body"].encode(),
        )  # fmt: skip
        assert signed == vector["signature"]
    for vector in _vectors("computed"):
        try:
            verify(
                [vector["secret"]], message_id=vector["id"], timestamp=vector["timestamp"],
                signatures=vector["signature"], body=vector["body"].encode(),
                now=datetime.fromtimestamp(vector["now"], UTC),
            )  # fmt: skip
        except SignatureError:
            assert not vector["accept"], vector["case"]
        else:
            assert vector["accept"], vector["case"]
