"""Which gateways a stack works with: the simulator if none has a key, else those of a person."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

import settings
from devstack import payment_gateways, plan, ports
from devstack.errors import DevstackError
from tests.stack_process import StackProcess, eventually

MakeStack = Callable[..., StackProcess]
MakePlan = Callable[[], plan.Plan]
LOGIN = ("rzp_test_simulator", "simulator_key_secret")
MINE = {
    "RAZORPAY_KEY_ID": "rzp_test_mine",
    "RAZORPAY_KEY_SECRET": "my-secret",
    "RAZORPAY_WEBHOOK_SECRETS": "my-webhook-secret",
    "RAZORPAY_API_BASE": "http://127.0.0.1:9",
}


@pytest.fixture
def make_plan(tmp_path: Path) -> Iterator[MakePlan]:
    """Plan a stack in a folder of its own; the environment is put back, for a plan completes it."""
    before = dict(os.environ)
    for variable in payment_gateways.VARIABLES:
        os.environ.pop(variable, None)
    os.environ["BILLING_DATA_DIR"] = str(tmp_path)
    procfile = tmp_path / "Procfile"
    procfile.write_text("receiver: run\nworker: run\n")
    yield lambda: plan.make(procfile_path=procfile)
    os.environ.clear()
    os.environ.update(before)
    settings.get.cache_clear()


def complete(the_plan: plan.Plan) -> settings.Settings:
    return plan.apply(the_plan, database_urls={}, redis_url=None)


def new_order(stack: StackProcess) -> str:
    """Open an order at the simulator; return its id."""
    url = f"http://{ports.HOST}:{stack.environment['SIMULATOR_PORT']}/v1/orders"
    body = {"amount": 100_000, "currency": "INR"}
    order_id: str = requests.post(url, json=body, auth=LOGIN, timeout=5).json()["id"]
    return order_id


def test_without_a_key_the_simulator_is_one_process_more(make_plan: MakePlan) -> None:
    os.environ["SIMULATOR_PORT"] = "18009"

    found = make_plan()

    assert found.simulated
    assert list(found.commands) == ["receiver", "worker", "simulator", "sink"]
    assert found.ports["simulator"] == 18009


@pytest.mark.parametrize(
    "keys",
    [
        {"RAZORPAY_KEY_ID": "rzp_test_mine", "RAZORPAY_KEY_SECRET": "mine"},
        {"STRIPE_API_KEY": "sk_test_mine"},
        {"STRIPE_API_KEY": "sk_test_mine", "RAZORPAY_API_BASE": "http://127.0.0.1:9"},
    ],
)
def test_a_key_of_either_gateway_leaves_the_simulator_out(
    make_plan: MakePlan, keys: dict[str, str]
) -> None:
    os.environ.update(keys)

    found = make_plan()
    completed = complete(found)

    assert not found.simulated
    assert list(found.commands) == ["receiver", "worker", "sink"]
    # And the gateway without a key is not set up, rather than played
    given = completed.razorpay_key_id, completed.stripe_api_key.get_secret_value()
    assert given == (keys.get("RAZORPAY_KEY_ID", ""), keys.get("STRIPE_API_KEY", ""))
    assert completed.razorpay_webhook_secrets == completed.stripe_webhook_secrets == ()


def test_empty_and_blank_variables_are_no_keys(make_plan: MakePlan) -> None:
    os.environ.update({"RAZORPAY_KEY_ID": " ", "RAZORPAY_KEY_SECRET": "", "STRIPE_API_KEY": ""})
    assert make_plan().simulated


@pytest.mark.parametrize(
    ("base", "key"),
    [("RAZORPAY_API_BASE", "RAZORPAY_KEY_ID"), ("STRIPE_API_BASE", "STRIPE_API_KEY")],
)
def test_address_of_a_gateway_without_a_key_is_refused(
    make_plan: MakePlan, base: str, key: str
) -> None:
    os.environ[base] = "http://127.0.0.1:9"
    with pytest.raises(DevstackError, match=f"{base} is set and {key} is not"):
        make_plan()


def test_half_a_key_is_refused(make_plan: MakePlan) -> None:
    os.environ["RAZORPAY_KEY_ID"] = "rzp_test_mine"
    with pytest.raises(settings.SettingsError, match="set both or neither"):
        make_plan()


def test_all_processes_are_told_how_to_reach_the_simulator(make_plan: MakePlan) -> None:
    # Given a webhook secret that a person set
    os.environ.update({"SIMULATOR_PORT": "18009", "STRIPE_WEBHOOK_SECRETS": "whsec_mine_and_long"})
    first = make_plan()

    found = complete(first)

    assert found.razorpay_key_id.startswith("rzp_test_")
    assert found.razorpay_api_base == "http://127.0.0.1:18009"
    assert found.stripe_api_base == "http://127.0.0.1:18009/stripe"
    # Then it wins, and the other is made once and kept for its owner only
    assert [s.get_secret_value() for s in found.stripe_webhook_secrets] == ["whsec_mine_and_long"]
    kept = first.data_dir / "razorpay_webhook_secret"
    assert [s.get_secret_value() for s in found.razorpay_webhook_secrets] == [
        kept.read_text().strip()
    ]
    assert kept.stat().st_mode & 0o777 == 0o600
    for variable in payment_gateways.RAZORPAY:
        del os.environ[variable]
    assert complete(first).razorpay_webhook_secrets == found.razorpay_webhook_secrets


def test_the_simulator_runs_with_what_the_others_were_told(make_stack: MakeStack) -> None:
    with make_stack() as stack:
        addresses = {name: stack.addresses[name.lower()] for name in payment_gateways.VARIABLES}
        assert all(addresses.values())
        for name in ("receiver", "worker", "simulator"):
            environ = psutil.Process(stack.running_pid_of(name)).environ()
            assert {variable: environ[variable] for variable in addresses} == addresses
        webhooks = _asked(stack, "/simulator/webhooks")
        receiver = f"http://127.0.0.1:{stack.environment['RECEIVER_PORT']}/webhooks"
        assert webhooks == {"razorpay": [f"{receiver}/razorpay"], "stripe": [f"{receiver}/stripe"]}
        assert "✓ Simulator of Razorpay and Stripe at " in stack.output
        assert (stack.data_dir / "logs" / "simulator.log").read_text()


def test_a_simulator_that_is_started_again_gives_ids_that_were_never_seen(
    make_stack: MakeStack,
) -> None:
    with make_stack() as stack:
        first = new_order(stack)
        pid = stack.running_pid_of("simulator")
        stack.kill(pid)
        stack.running_pid_of("simulator", other_than=pid)
        eventually("it answers again", lambda: _answers(stack))
        assert new_order(stack) != first


def test_with_keys_there_is_no_simulator_and_they_are_kept_from_others(
    make_stack: MakeStack,
) -> None:
    with make_stack(MINE) as stack:
        eventually("the stack is up", lambda: "The stack is up" in stack.output)
        assert "no simulator, no demo top-up" in stack.output
        assert ports.is_free(int(stack.environment["SIMULATOR_PORT"]))
        worker = psutil.Process(stack.running_pid_of("worker")).environ()
        assert {name: worker[name] for name in MINE} == MINE
        file = settings.stack_file(stack.data_dir)
        assert json.loads(file.read_text())["razorpay_key_secret"] == "my-secret"
        assert file.stat().st_mode & 0o777 == 0o600
        assert "my-secret" not in stack.output
        assert not (stack.data_dir / "razorpay_webhook_secret").exists()


def _asked(stack: StackProcess, path: str) -> Any:
    url = f"http://{ports.HOST}:{stack.environment['SIMULATOR_PORT']}{path}"
    return requests.get(url, timeout=5).json()


def _answers(stack: StackProcess) -> bool:
    try:
        return bool(_asked(stack, "/simulator/switches"))
    except requests.ConnectionError:
        return False
