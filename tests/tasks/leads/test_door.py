"""The Celery door through real messages and a real worker, from an app that knows only Redis."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from billing_client import Accepted, CeleryBillingClient
from tasks.leads import call_copies
from tasks.leads import door as leads
from tests.billing.given import balance, open_account, rows
from tests.stack_process import eventually
from tests.tasks.given import inbox_rows
from tests.worker_process import WorkerProcess

LEAD = {"account": "clinic:42", "package_price_paise": 600_000}

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def clinic(database: str) -> None:
    open_account(credits_=200_000)


@pytest.fixture
def stranger() -> Iterator[Celery]:
    """A Celery app with a broker and no configuration."""
    app = Celery("stranger", broker=os.environ["REDIS_URL"], set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def client() -> Iterator[CeleryBillingClient]:
    with CeleryBillingClient(redis_url=os.environ["REDIS_URL"]) as opened:
        yield opened


def charged() -> set[str]:
    return {str(lead) for (lead,) in rows("SELECT lead_id FROM lead_charges")}


def test_any_app_calls_by_name_on_whichever_queue_and_the_client_too(
    redis: Redis, stranger: Celery, client: CeleryBillingClient, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path / "worker.log"):
        # When leads are sent by place, by name, to another queue, with a priority, and in numbers
        send = stranger.send_task
        send("tasks.leads.charge", ("L-1", "clinic:42", 600_000), queue="leads")
        send("tasks.leads.charge", kwargs={"lead_id": "L-2", **LEAD}, queue="schedule")
        send("tasks.leads.charge", kwargs={"lead_id": "L-3", **LEAD}, queue="leads", priority=5)
        several = [{"lead_id": "L-4", **LEAD}, {"lead_id": "L-5", "account": 1}]
        send("tasks.leads.charge_many", (several,), queue="leads", task_id="many-1")
        send("tasks.leads.charge", kwargs={"lead_id": "L-6", "clinic": 42}, queue="leads")
        # And through the client, in part without the copy being known to any worker yet
        accepted = client.charge_lead("L-7", **LEAD, idempotency_key="our-key-7")  # type: ignore[arg-type]
        results = client.charge_leads(
            [{"lead_id": f"L-{number}", **LEAD} for number in range(8, 10)]
        )

        # Then those that can be are charged within a moment, not at the next sweep
        expected = {f"L-{number}" for number in (1, 2, 3, 4, 7, 8, 9)}
        eventually("they are charged", lambda: charged() == expected, seconds=15)
        assert balance() == 200_000 - 7 * 180
        # And the others are dead, with the reason and the index
        dead = {str(row[3]) for row in inbox_rows() if row[0] == "dead"}
        assert len(dead) == 2
        assert any(error.startswith("lead 1 of the call: ") for error in dead)
        # And the copies are removed
        eventually("the copies are gone", lambda: redis.hlen(call_copies.KEY) == 0)
        assert accepted == Accepted("L-7", "our-key-7", seen_before=False)
        assert [type(result) for result in results] == [Accepted, Accepted]
        known = {str(id_) for (id_,) in rows("SELECT event_id FROM inbound_events")}
        assert {result.event_id for result in results if isinstance(result, Accepted)} <= known


def test_a_worker_killed_at_the_hand_over_loses_the_bare_message_and_not_the_clients(
    redis: Redis,
    stranger: Celery,
    client: CeleryBillingClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a worker that is stopped while it waits for messages in BRPOP
    with WorkerProcess(tmp_path / "first.log") as worker:
        eventually("it waits", lambda: redis.info("clients")["blocked_clients"] == 1)
        worker.stop_for_a_while()
        # When a message is sent, and the worker is killed. Redis has handed it over by then
        stranger.send_task("tasks.leads.charge", kwargs={"lead_id": "bare", **LEAD}, queue="leads")
        eventually("it is handed over", lambda: redis.llen("leads") == 0)
        worker.kill()
    # And the same happens to a call of the client
    with WorkerProcess(tmp_path / "second.log") as worker:
        eventually("it waits", lambda: redis.info("clients")["blocked_clients"] == 1)
        worker.stop_for_a_while()
        client.charge_lead("kept", "clinic:42", 600_000, idempotency_key="kept-1")
        eventually("it is handed over", lambda: redis.llen("leads") == 0)
        worker.kill()

    # Then neither is in the queue, nor waiting for its acknowledgement, nor recorded
    assert (redis.llen("leads"), redis.hlen("unacked")) == (0, 0)
    assert inbox_rows() == []
    # But the copy of the client's is there, and when it is old, it is charged, once
    [copy] = redis.hvals(call_copies.KEY)
    assert json.loads(copy)["kwargs"]["lead_id"] == "kept"
    monkeypatch.setattr(call_copies, "OLD_AFTER_SECONDS", 0)
    with WorkerProcess(tmp_path / "third.log"):
        for _ in range(2):
            leads.recover.run()
        eventually("the kept one is charged", lambda: charged() == {"kept"})
    assert balance() == 200_000 - 180
    # And the bare one is lost: that is Celery's guarantee, and all that it has
    assert rows("SELECT count(*) FROM inbound_events") == [(1,)]


def test_a_child_killed_at_work_loses_nothing(
    redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        # Given a child that cannot work, and a bare message in its hands
        child = worker.children()[0]
        child.suspend()
        stranger.send_task("tasks.leads.charge", kwargs={"lead_id": "L-1", **LEAD}, queue="leads")
        eventually("it is handed over", lambda: redis.hlen("unacked") == 1)
        # When the child is killed
        child.kill()
        # Then the message comes back
        eventually("it is charged", lambda: charged() == {"L-1"}, seconds=40)
    assert balance() == 200_000 - 180
