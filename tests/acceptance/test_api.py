"""What the API of the real stack answers a platform."""

from typing import Any

import pytest

from billing_client import BillingClient
from devstack import ports
from tests.acceptance.harness import LeadEvent, Stack
from tests.stack_process import eventually

pytestmark = pytest.mark.acceptance


def lead_of(stack: Stack, event: LeadEvent, **more: str) -> Any:
    status, answer = stack.ask(f"/v1/leads/{event.lead_id}", **more)
    return answer if status == 200 else status


def test_a_lead_is_known_from_the_moment_it_was_accepted(stack: Stack) -> None:
    # Given an accepted event that no worker has seen
    stack.make_account("clinic:api-1", opening_credits=1_000)
    event = LeadEvent("evt-api-1", "lead-api-1", "clinic:api-1", 1_200_000)
    assert lead_of(stack, event) == 404
    stack.stop("worker")
    assert stack.post_lead(event) == 202
    # Then it is pending at its price
    answer = lead_of(stack, event)
    assert (answer["state"], answer["account"], answer["credits"]) == (
        "pending",
        "clinic:api-1",
        250,
    )
    # And charged when one comes
    stack.start("worker")
    eventually("it is charged", lambda: lead_of(stack, event)["state"] == "charged")
    assert stack.balance("clinic:api-1") == 750


def test_a_lead_by_the_api_is_charged_though_redis_forgets_it(stack: Stack) -> None:
    # Given a lead that a platform submits by the API while no worker runs
    account, lead = "clinic:api-5", "lead-api-5"
    stack.make_account(account, opening_credits=1_000)
    stack.stop("worker")
    client = BillingClient(
        api_url=f"http://{ports.HOST}:{stack.environment['API_PORT']}",
        api_key=stack.addresses["api_keys"].partition(":")[2],
    )
    with client:
        submitted = client.submit_lead(lead, account, 1_200_000, source="google-ads")
        assert (submitted.state, submitted.credits) == ("pending", 250)
        # When Redis loses the nudge, and a worker comes
        stack.flush_redis()
        stack.start("worker")
        # Then the sweep has it charged, once, for the key that asked
        eventually("it is charged", lambda: client.lead_status(lead).state == "charged")
        assert client.submit_lead(lead, account, 1_200_000).state == "charged"
    assert stack.balance(account) == 750
    assert stack.sql("SELECT amount, actor FROM credit_transactions WHERE lead_id = %s", lead) == [
        (-250, "api-key:devstack")
    ]
    # And operators see it as any other lead
    assert (
        "Credit deduction: Clinic api-5, Amount 250"
        in (stack.data_dir / "logs" / "worker.log").read_text()
    )
    listed = stack.billing("inbox", "list", "--lead", lead)
    assert {row["source"] for row in listed} == {"api_leads"}
    assert stack.billing("leads", "show", lead)["state"] == "charged"


def test_a_refused_lead_says_why_until_it_is_replayed(stack: Stack) -> None:
    # Given a lead of an account that is opened too late
    event = LeadEvent("evt-api-2", "lead-api-2", "clinic:api-2", 1_200_000)
    assert stack.post_lead(event) == 202
    dead = "SELECT id FROM inbound_events WHERE event_id = 'evt-api-2' AND state = 'dead'"
    eventually("it is dead", lambda: stack.sql(dead))
    answer = lead_of(stack, event)
    assert answer["state"] == "refused"
    assert "unknown account" in answer["reason"]
    stack.make_account("clinic:api-2", opening_credits=1_000)

    stack.billing("inbox", "replay", str(stack.value(dead)))

    eventually("it is charged", lambda: lead_of(stack, event)["state"] == "charged")


def test_a_key_of_one_clinic_is_made_used_and_revoked(stack: Stack) -> None:
    for ref in ("clinic:api-3", "clinic:api-4"):
        stack.make_account(ref, opening_credits=1_000)
    own = LeadEvent("evt-api-3", "lead-api-3", "clinic:api-3", 1_200_000)
    others = LeadEvent("evt-api-4", "lead-api-4", "clinic:api-4", 1_200_000)
    assert [stack.post_lead(event) for event in (own, others)] == [202, 202]
    stack.wait_until_charged(own.lead_id, others.lead_id)

    key = stack.billing("api-keys", "create", "clinic-3", "--account", "clinic:api-3")["key"]

    assert lead_of(stack, own, key=key)["state"] == "charged"
    assert lead_of(stack, others, key=key) == 404
    stack.billing("api-keys", "revoke", "clinic-3")
    assert lead_of(stack, own, key=key) == 401
    for name in ("api", "receiver", "worker"):
        assert key not in (stack.data_dir / "logs" / f"{name}.log").read_text()
