"""Razorpay's signatures against the SDK, OpenSSL and the published vectors; hostile headers."""

import hashlib
import hmac
import json
from typing import Any

import pytest
import razorpay
from hypothesis import example, given
from hypothesis import strategies as st
from razorpay.errors import SignatureVerificationError

import clock
import settings
from gateways.razorpay import webhooks
from service.signatures import SignatureError

SECRET = "a webhook secret"
OLD = "the secret before"
BODY = b'{"entity":"event","event":"payment.captured","payload":{}}'
# By `openssl dgst -sha256 -hmac SECRET`.
SIGNATURE = "47be9536328e095813af2ac7cf1c8d021638e94e561961ac47f79f5f474da44c"
SIGNED_WITH_OLD = "b575bff9a193fc76f21eacfe430f838fe217338eacbacd8563f26602c63a6dc3"

VECTORS = settings.PROJECT_DIR.parent / "shared" / "vectors" / "razorpay-signatures.json"

sdk = razorpay.Client(auth=("rzp_test_key", "an API secret")).utility
secrets = st.text(st.characters(codec="utf-8"), min_size=1)
texts = st.text(st.characters(codec="utf-8"))


def verify(configured: list[str], *, body: bytes, signature: str | None) -> None:
    headers = {} if signature is None else {"X-Razorpay-Signature": signature}
    webhooks.verify(configured, body=body, headers=headers, now=clock.now())


def sign(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("secret", "body", "signature"),
    [
        (SECRET, BODY, SIGNATURE),
        (OLD, BODY, SIGNED_WITH_OLD),
        ("पासवर्ड₹", BODY, "3aaaa1ef3c8c5a17dc83900f66502443c3ce80874b11d76b4a6523be5c2ad4e9"),
        (SECRET, b"", "1bc29671c98eaef0005ddbf2c958f4707e766e8dbe29858401baaf5156ede672"),
        (
            SECRET,
            "München ₹500".encode(),
            "3c3bec39dd68aba64abef97c5e4f788725cd116913e74c21088a77c1f4d6c091",
        ),
        (
            SECRET,
            b"\xff\xfe\x00\x01",
            "aae0bfe6c07563d490f2190b94470d07e0b3fa6e0092d415a643c225ee63e1b0",
        ),
    ],
)
def test_what_openssl_signed_is_accepted(secret: str, body: bytes, signature: str) -> None:
    verify([secret], body=body, signature=signature)


@pytest.mark.parametrize("both", [[SECRET, OLD], [OLD, SECRET]])
def test_either_secret_may_have_signed_while_they_are_rotated(both: list[str]) -> None:
    verify(both, body=BODY, signature=SIGNATURE)
    verify(both, body=BODY, signature=SIGNED_WITH_OLD)


@pytest.mark.parametrize("configured", [[], [OLD], ["an API secret", OLD]])
def test_another_secret_or_none_is_told_where_the_right_one_is(configured: list[str]) -> None:
    with pytest.raises(SignatureError, match="RAZORPAY_WEBHOOK_SECRETS must hold") as caught:
        verify(configured, body=BODY, signature=SIGNATURE)

    assert not [secret for secret in configured if secret in str(caught.value)]


@pytest.mark.parametrize("signature", [None, ""])
def test_the_header_is_needed(signature: str | None) -> None:
    with pytest.raises(SignatureError, match="X-Razorpay-Signature is needed"):
        verify([SECRET], body=BODY, signature=signature)


@pytest.mark.parametrize(
    "signature",
    [
        SIGNATURE.upper(),
        f"{SIGNATURE},{SIGNATURE}",
        f"{SIGNATURE}, {SIGNATURE}",
        f" {SIGNATURE}",
        f"{SIGNATURE}\n",
        f"v1={SIGNATURE}",
        f"0x{SIGNATURE[2:]}",
        SIGNATURE[:-1],
        SIGNATURE[:32],
        SIGNATURE + "0",
        SIGNATURE * 1_000,
        SIGNATURE[:-1] + "é",
        SIGNATURE[:-1] + "\xff",
        SIGNATURE[:-1] + "\ud800",
        SIGNATURE.replace("4", "\uff14"),
    ],
)
def test_a_header_of_another_form_is_refused_though_the_right_digits_are_in_it(
    signature: str,
) -> None:
    with pytest.raises(SignatureError, match="must be 64 lower-case hex digits"):
        verify([SECRET], body=BODY, signature=signature)


@pytest.mark.parametrize(
    "changed",
    [
        json.dumps(json.loads(BODY)).encode(),
        b'{"event":"payment.captured","entity":"event","payload":{}}',
        BODY.replace(b"payment", b"p\\u0061yment"),
        BODY + b"\n",
        BODY[:-1],
        b"",
    ],
)
def test_the_same_event_written_in_another_way_is_not_what_was_signed(changed: bytes) -> None:
    with pytest.raises(SignatureError):
        verify([SECRET], body=changed, signature=SIGNATURE)


@given(secrets, texts, st.data())
def test_the_sdk_and_we_decide_alike(secret: str, body: str, data: st.DataObject) -> None:
    right = sign(secret, body.encode())
    signature = data.draw(
        st.just(right)
        | st.text("0123456789abcdef", min_size=64, max_size=64)
        | st.just(right.upper())
        | st.just(right[:-1])
    )
    try:
        accepted = bool(sdk.verify_webhook_signature(body, signature, secret))
    except SignatureVerificationError:
        accepted = False

    assert accepted == is_accepted([secret], body.encode(), signature)


@given(st.binary(), st.binary())
def test_a_body_need_not_be_text_and_must_be_the_one_signed(body: bytes, other: bytes) -> None:
    verify([SECRET], body=body, signature=sign(SECRET, body))
    if other != body:
        with pytest.raises(SignatureError):
            verify([SECRET], body=other, signature=sign(SECRET, body))


@given(st.none() | st.text() | st.text(st.sampled_from("0af,= \x00\ud800é")), st.binary())
@example("\ud800" * 64, b"")
def test_whatever_the_header_holds_the_answer_is_an_error_that_does_not_repeat_it(
    signature: str | None, body: bytes
) -> None:
    marked = None if signature is None else "stranger" + signature
    for sent in (signature, marked):
        with pytest.raises(SignatureError) as caught:
            verify([SECRET], body=body, signature=sent)
        assert "stranger" not in str(caught.value)


def is_accepted(configured: list[str], body: bytes, signature: str) -> bool:
    try:
        verify(configured, body=body, signature=signature)
    except SignatureError:
        return False
    return True


@pytest.mark.skipif(not VECTORS.exists(), reason="the folder of published vectors is not here")
def test_the_vectors_beside_the_checkout() -> None:
    vectors: dict[str, Any] = json.loads(VECTORS.read_text())
    for vector in [*vectors["published"], *vectors["computed"]]:
        body = vector["message"].encode()
        assert is_accepted([vector["secret"]], body, vector["expected"]), vector
        assert not is_accepted([vector["secret"]], body + b" ", vector["expected"]), vector
    rotation = vectors["computed_rotation"]
    both, body = [rotation["new_secret"], rotation["old_secret"]], rotation["message"].encode()
    assert is_accepted(both, body, rotation["signature_with_old"])
    assert is_accepted(both, body, rotation["signature_with_new"])
    assert not is_accepted(both[:1], body, rotation["signature_with_old"])
    for vector in vectors["computed_must_fail"]:
        body = vector["message"].encode()
        assert not is_accepted([vector["secret"]], body, vector["signature"]), vector
