"""The Celery door while the servers behind it are away."""

from uuid import uuid4

import pytest
from celery import Celery

from billing_client import CeleryBillingClient
from tasks.inbox.recorder import PATIENCE_SECONDS
from tests.acceptance.harness import Stack, pause

pytestmark = pytest.mark.acceptance

PUT_BACK = "call put back"


def test_calls_wait_for_postgresql_in_their_queue_and_are_then_charged_once(stack: Stack) -> None:
    # Given calls that arrive while PostgreSQL is away
    account = f"clinic:{uuid4().hex[:8]}"
    stack.make_account(account, opening_credits=10_000)
    leads = [f"{account}-{number}" for number in range(3)]
    url = stack.addresses["redis_url"]
    worker_log = stack.data_dir / "logs" / "worker.log"
    known = worker_log.read_text().count(PUT_BACK)
    stack.stop("postgres")
    with (
        Celery("stranger", broker=url, set_as_current=False) as stranger,
        CeleryBillingClient(redis_url=url) as client,
    ):
        for lead in leads[:2]:
            stranger.send_task("tasks.leads.charge", (lead, account, 600_000), queue="leads")
        client.charge_lead(leads[2], account, 600_000)
        # When it stays away for longer than a task can wait
        pause(PATIENCE_SECONDS + 5)
        put_back = worker_log.read_text().count(PUT_BACK) - known
        stack.start("postgres")
        stack.wait_until_database_answers()
        # Then the messages were put back, without haste, and each lead is charged when it is back
        stack.wait_until_charged(*leads, seconds=60)
    assert 1 <= put_back <= 4
    assert stack.balance(account) == 10_000 - 3 * 180
