"""One receiver for all of these tests, and an eye on it after each."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LEAD_SECRET, new_database
from tests.webhook_receiver.receiver_process import ReceiverProcess

SECOND_SECRET = "whsec_" + "dGhlLW5leHQtc2VjcmV0LWFmdGVyLWEtcm90YXRpb24="

RAZORPAY_SECRETS = ("tests-only-razorpay-secret", "tests-only-razorpay-secret-before")
STRIPE_SECRETS = ("whsec_tests_only_stripe_secret", "whsec_tests_only_stripe_secret_before")


@pytest.fixture(scope="package")
def database_url() -> Iterator[str]:
    """The receiver's own database."""
    with new_database() as url:
        yield url


@pytest.fixture(scope="package")
def running_receiver(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReceiverProcess]:
    """A receiver with two secrets at each door, as in a rotation."""
    log_file = tmp_path_factory.mktemp("receiver") / "receiver.log"
    with ReceiverProcess(
        log_file,
        DATABASE_URL=database_url,
        LEAD_WEBHOOK_SECRETS=f"{LEAD_SECRET},{SECOND_SECRET}",
        RAZORPAY_WEBHOOK_SECRETS=",".join(RAZORPAY_SECRETS),
        STRIPE_WEBHOOK_SECRETS=",".join(STRIPE_SECRETS),
    ) as receiver:
        yield receiver


@pytest.fixture
def receiver(running_receiver: ReceiverProcess) -> Iterator[ReceiverProcess]:
    """The running receiver; after the test: nothing broke in it, and it kept its secrets."""
    answered, logged = len(running_receiver.statuses), len(running_receiver.log)
    yield running_receiver
    assert [s for s in running_receiver.statuses[answered:] if s >= 500] == []
    log = running_receiver.log[logged:]
    assert "Traceback" not in log
    assert "request failed" not in log
    assert_keeps_secrets(running_receiver, log)


def assert_keeps_secrets(receiver: ReceiverProcess, log: str) -> None:
    """Neither a secret nor a signature that was sent stands in `log`."""
    for secret in (LEAD_SECRET, SECOND_SECRET, *RAZORPAY_SECRETS, *STRIPE_SECRETS):
        assert secret.removeprefix("whsec_") not in log
    for header in receiver.secrets_sent:
        for value in re.split(r"[\s,=]+", header):
            assert len(value) < 20 or value not in log


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """Where a test's own receiver writes."""
    return tmp_path / "receiver.log"
