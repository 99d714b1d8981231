"""Encryption and signed tokens: one key a purpose, and secrets that are rotated."""

import string
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

import clock
import settings
from service import signing
from service.signing import BadToken, CannotDecrypt, ExpiredToken, Label, NoWebSecret

OLD, NEW = "an-old-secret-of-32-characters!!", "a-new-secret-of-32-characters-!!"
SECRET = b"whsec_dGVzdHMtb25seQ=="
AT = datetime(2026, 4, 1, 9, tzinfo=UTC)

Configure = Callable[..., None]


@pytest.fixture
def secrets_are(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Return what sets WEB_SECRETS for this process."""

    def configure(*secrets: str) -> None:
        monkeypatch.setenv("WEB_SECRETS", ",".join(secrets))
        settings.get.cache_clear()

    yield configure
    settings.get.cache_clear()


def test_what_was_encrypted_is_read_again_and_never_looks_the_same(secrets_are: Configure) -> None:
    secrets_are(NEW)

    first, second = (signing.encrypt(Label.NOTICE_SECRETS, SECRET) for _ in range(2))

    assert first != second
    assert SECRET not in first
    assert len(first) == len(SECRET) + 29
    assert signing.decrypt(Label.NOTICE_SECRETS, first) == SECRET
    assert signing.is_current(Label.NOTICE_SECRETS, first)


def test_a_rotated_secret_still_decrypts_until_it_is_taken_away(secrets_are: Configure) -> None:
    secrets_are(OLD)
    encrypted = signing.encrypt(Label.NOTICE_SECRETS, SECRET)

    secrets_are(NEW, OLD)
    assert signing.decrypt(Label.NOTICE_SECRETS, encrypted) == SECRET
    assert not signing.is_current(Label.NOTICE_SECRETS, encrypted)
    anew = signing.encrypt(Label.NOTICE_SECRETS, SECRET)

    secrets_are(NEW)
    assert signing.decrypt(Label.NOTICE_SECRETS, anew) == SECRET
    with pytest.raises(CannotDecrypt, match="no secret in WEB_SECRETS fits"):
        signing.decrypt(Label.NOTICE_SECRETS, encrypted)


def test_nothing_that_was_changed_or_cut_decrypts(secrets_are: Configure) -> None:
    secrets_are(NEW)
    encrypted = signing.encrypt(Label.NOTICE_SECRETS, SECRET)

    changed = [encrypted[:at] + bytes([encrypted[at] ^ 1]) + encrypted[at + 1 :]
               for at in range(len(encrypted))]  # fmt: skip
    cut = [encrypted[:length] for length in range(len(encrypted))]

    for data in (*changed, *cut):
        with pytest.raises(CannotDecrypt):
            signing.decrypt(Label.NOTICE_SECRETS, data)


def test_a_key_is_for_one_purpose(secrets_are: Configure) -> None:
    secrets_are(NEW)
    encrypted = signing.encrypt(Label.NOTICE_SECRETS, SECRET)
    token = signing.sign(Label.UNSUBSCRIBE, {"contact": 7})

    with pytest.raises(CannotDecrypt):
        signing.decrypt(Label.LINK, encrypted)
    with pytest.raises(BadToken):
        signing.read(Label.LINK, token, max_age=None)


def test_what_stands_for_a_text_is_found_again_after_a_rotation(secrets_are: Configure) -> None:
    secrets_are(OLD)
    [before] = signing.digests(Label.ADDRESSES, "desk@clinic.example")
    secrets_are(NEW, OLD)
    newest, older = signing.digests(Label.ADDRESSES, "desk@clinic.example")

    assert older == before != newest
    assert newest not in signing.digests(Label.LINK, "desk@clinic.example")
    assert before not in signing.digests(Label.ADDRESSES, "desk@clinic.examplf")


def test_the_keys_are_those_of_the_rfc_and_their_labels_stand_for_ever(
    secrets_are: Configure,
) -> None:
    """RFC 5869, A.3: SHA-256 without salt and info. A changed label would lose every secret."""
    derived = HKDF(algorithm=SHA256(), length=42, salt=None, info=b"").derive(b"\x0b" * 22)
    assert derived.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
    secrets_are("0" * 32)
    with clock.frozen(AT):
        assert signing.sign(Label.LINK, {"a": 1}) == LINK_OF_ALL_TIMES
    assert signing.decrypt(Label.NOTICE_SECRETS, bytes.fromhex(ENCRYPTED_ONCE)) == b"kept"


def test_a_token_says_what_was_signed_and_is_safe_in_an_address(secrets_are: Configure) -> None:
    secrets_are(NEW)
    payload = {"contact": 7, "kind": "balance_low", "name": "Zahnärzte & Söhne"}

    token = signing.sign(Label.UNSUBSCRIBE, payload)

    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")
    assert signing.read(Label.UNSUBSCRIBE, token, max_age=None) == payload


def test_a_token_of_a_rotated_secret_is_valid_until_it_is_taken_away(
    secrets_are: Configure,
) -> None:
    secrets_are(OLD)
    token = signing.sign(Label.LINK, {"a": 1})

    secrets_are(NEW, OLD)
    assert signing.read(Label.LINK, token, max_age=None) == {"a": 1}

    secrets_are(NEW)
    with pytest.raises(BadToken):
        signing.read(Label.LINK, token, max_age=None)


def test_a_token_expires_by_our_clock_and_still_says_what_it_was(secrets_are: Configure) -> None:
    secrets_are(NEW)
    with clock.frozen(AT):
        token = signing.sign(Label.LINK, {"a": 1})

    with clock.frozen(AT + timedelta(days=7)):
        assert signing.read(Label.LINK, token, max_age=timedelta(days=7)) == {"a": 1}
    with clock.frozen(AT + timedelta(days=7, seconds=1)):
        with pytest.raises(ExpiredToken) as caught:
            signing.read(Label.LINK, token, max_age=timedelta(days=7))
        assert signing.read(Label.LINK, token, max_age=None) == {"a": 1}

    assert (caught.value.payload, caught.value.signed_at) == ({"a": 1}, AT)


def test_a_clock_that_is_behind_does_not_refuse_a_token(secrets_are: Configure) -> None:
    """The process that signs and the one that reads may be a second apart."""
    secrets_are(NEW)
    with clock.frozen(AT):
        token = signing.sign(Label.LINK, {"a": 1})

    with clock.frozen(AT - timedelta(seconds=5)):
        assert signing.read(Label.LINK, token, max_age=timedelta(days=7)) == {"a": 1}


def test_nothing_that_was_changed_is_a_token(secrets_are: Configure) -> None:
    secrets_are(NEW)
    token = signing.sign(Label.LINK, {"contact": 7})
    payload, signed_at, signature = token.split(".")

    for forged in (
        "", ".", "..", "x", token[:-4], token + "x", f"{payload}.{signed_at}", "é" + token,
        f"{signature}.{signed_at}.{payload}", token.swapcase(), "\x00", "a" * 100_000,
    ):  # fmt: skip
        with pytest.raises(BadToken):
            signing.read(Label.LINK, forged, max_age=None)


def test_without_a_secret_nothing_is_encrypted_or_signed(
    secrets_are: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets_are()
    token = encrypted = "x"

    for call in (
        lambda: signing.encrypt(Label.NOTICE_SECRETS, SECRET),
        lambda: signing.decrypt(Label.NOTICE_SECRETS, encrypted.encode()),
        lambda: signing.is_current(Label.NOTICE_SECRETS, encrypted.encode()),
        lambda: signing.sign(Label.LINK, {}),
        lambda: signing.read(Label.LINK, token, max_age=None),
    ):
        with pytest.raises(NoWebSecret, match="WEB_SECRETS is not set"):
            call()


LINK_OF_ALL_TIMES = "eyJhIjoxfQ.aczekA.9td44GhBRC-A4LY80JvBBkYc-7Z_5YqTk3YOxU8t2FQ"
ENCRYPTED_ONCE = "019712b13d2333d67b9be0dea0272acf4458badfd089430450a907f69105b80db2"
