"""`python -m devstack.simulator` as its own process."""

import os
import signal
import subprocess
import sys
import time

import pytest
import requests

import settings
from devstack import ports, probes
from tests.devstack.simulator.receiver import Receiver, wait_until


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "devstack.simulator", *arguments], cwd=settings.PROJECT_DIR,
        env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_it_answers_by_its_settings_and_stops_on_sigterm() -> None:
    port = ports.find_free()
    process = start(
        "--switches", "drops=1,speed=600", SIMULATOR_PORT=str(port), SIMULATOR_SEED="9",
        RAZORPAY_KEY_ID="rzp_test_mine", RAZORPAY_KEY_SECRET="mine_secret", RECEIVER_PORT="8123",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: probes.http_status(port, "/") == 200)
        switches = requests.get(f"{url}/simulator/switches", timeout=5).json()
        assert (switches["drops"], switches["speed"]) == (1, 600)
        login = ("rzp_test_mine", "mine_secret")
        body = {"amount": 100, "currency": "INR"}
        order = requests.post(f"{url}/v1/orders", json=body, auth=login, timeout=5).json()
        assert order["amount"] == 100
        webhooks = requests.get(f"{url}/simulator/webhooks", timeout=5).json()
        assert webhooks["razorpay"] == ["http://127.0.0.1:8123/webhooks/razorpay"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert all(" simulator: " in line for line in log.splitlines()), log
    assert "mine_secret" not in log


def test_it_stops_at_once_though_a_receiver_does_not_answer(receiver: Receiver) -> None:
    receiver.delay_seconds = 3
    port = ports.find_free()
    process = start("--port", str(port), "--razorpay-webhook-url", receiver.url)
    url = f"http://127.0.0.1:{port}/simulator"
    wait_until(lambda: probes.http_status(port, "/") == 200)
    requests.post(f"{url}/foreign-payments", json={}, timeout=5)
    receiver.wait_for(1)

    asked_at = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    assert process.returncode == 0
    assert time.monotonic() - asked_at < 2


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {"RAZORPAY_KEY_ID": "rzp_live_1234"}, "a live key was given to the simulator"),
        ([], {"STRIPE_API_KEY": "sk_live_1234"}, "a live key was given to the simulator"),
        (["--switches", "drops=2"], {}, "drops"),
        (["--switches", "drops"], {}, "write name=value"),
        (["--stripe-webhook-url", "http://x:y/"], {}, "is no http address"),
        (["--switches", "old_secret=1"], {}, "holds only one secret"),
    ],
)
def test_it_does_not_start_with_what_cannot_be_meant(
    arguments: list[str], environment: dict[str, str], message: str
) -> None:
    process = start(*arguments, "--port", str(ports.find_free()), **environment)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 1
    assert message in log
    assert "1234" not in log
    assert len(log.splitlines()) == 1
