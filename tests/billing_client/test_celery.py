"""The client over Celery: the copy comes first, and whatever happens then the call is accepted."""

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis

import clock
from billing_client import Accepted, CeleryBillingClient, InvalidRequest, Unreachable
from billing_client.celery_client import COPIES_KEY, COPY_HEADER
from devstack import ports
from tasks import copies

LEAD: dict[str, Any] = {
    "lead_id": "L-1", "account": "clinic:42", "package_price_paise": 600_000,
}  # fmt: skip


@pytest.fixture
def client(redis: Redis) -> Iterator[CeleryBillingClient]:
    with CeleryBillingClient(redis_url=os.environ["REDIS_URL"]) as opened:
        yield opened


def messages(redis: Redis) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(headers, keyword arguments) of what waits in the queue, oldest first."""
    found = []
    for raw in reversed(redis.lrange("leads", 0, -1)):
        message = json.loads(raw)
        args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        assert args == []
        found.append((message["headers"], kwargs))
    return found


def copy_of(redis: Redis, task_id: str) -> Any:
    return json.loads(redis.hget(COPIES_KEY, task_id) or b"null")


def test_both_sides_speak_of_the_same_things() -> None:
    assert (COPIES_KEY, COPY_HEADER) == (copies.KEY, copies.HEADER)


def test_a_call_is_kept_and_then_sent_by_name_without_showing_its_arguments(
    redis: Redis, client: CeleryBillingClient
) -> None:
    accepted = client.charge_lead(**LEAD, source="google-ads")

    [(headers, kwargs)] = messages(redis)
    assert headers["task"] == "tasks.leads.charge"
    assert headers["id"] == accepted.event_id
    assert headers[COPY_HEADER] == 1
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("", "")
    assert kwargs == {**LEAD, "source": "google-ads"}
    copy = copy_of(redis, accepted.event_id)
    assert (copy["task"], copy["kwargs"]) == ("tasks.leads.charge", kwargs)
    assert abs(copy["at"] - clock.now().timestamp()) < 10


def test_many_leads_are_few_messages_and_each_has_its_result_in_order(
    redis: Redis, client: CeleryBillingClient
) -> None:
    leads = [{**LEAD, "lead_id": f"L-{number}"} for number in range(1_203)]
    leads[7] = {**leads[7], "package_price_paise": "600000"}

    results = client.charge_leads(leads)

    sent = messages(redis)
    assert [len(kwargs["leads"]) for _, kwargs in sent] == [500, 500, 202]
    assert redis.hlen(COPIES_KEY) == 3
    assert isinstance(results[7], InvalidRequest)
    first = sent[0][0]["id"]
    assert results[6] == Accepted("L-6", f"{first}:6", seen_before=False)
    assert results[8] == Accepted("L-8", f"{first}:7", seen_before=False)
    assert [r.lead_id for r in results if isinstance(r, Accepted)] == [
        lead["lead_id"] for number, lead in enumerate(leads) if number != 7
    ]


def test_a_call_whose_message_cannot_be_sent_is_accepted_for_its_copy_is_found(
    redis: Redis, client: CeleryBillingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("the broker went away")

    monkeypatch.setattr(client._app, "send_task", refuse)

    accepted = client.charge_lead(**LEAD)

    assert redis.llen("leads") == 0
    assert copy_of(redis, accepted.event_id)["kwargs"] == LEAD


def test_without_redis_nothing_is_accepted() -> None:
    url = f"redis://{ports.HOST}:{ports.find_free()}/0"
    with CeleryBillingClient(redis_url=url, retries=1) as client:
        with pytest.raises(Unreachable, match="Redis cannot be reached") as caught:
            client.charge_lead(**LEAD, idempotency_key="our-key")
        assert caught.value.idempotency_key == "our-key"
        results = client.charge_leads([LEAD, {}, LEAD])
    assert [type(result) for result in results] == [Unreachable, InvalidRequest, Unreachable]


def test_an_app_lends_its_broker_and_nothing_else(redis: Redis) -> None:
    app = Celery("platform", broker=os.environ["REDIS_URL"], set_as_current=False)
    app.conf.update(
        task_create_missing_queues=False, task_always_eager=True, task_serializer="yaml"
    )
    with CeleryBillingClient(app=app) as client:
        client.charge_lead(**LEAD)
    assert [kwargs for _, kwargs in messages(redis)] == [LEAD]


@pytest.mark.parametrize("url", [None, "amqp://x", "sentinel://x", 5])
def test_a_broker_that_is_no_redis_is_refused(url: Any) -> None:
    with pytest.raises(InvalidRequest, match="give redis_url"):
        CeleryBillingClient(redis_url=url)
