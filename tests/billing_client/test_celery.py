"""The client over Celery: the copy comes first, and whatever happens then the call is accepted."""

import base64
import json
import os
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis

import clock
from billing_client import Accepted, CeleryBillingClient, InvalidRequest, Unreachable
from billing_client.celery_client import COPIES_KEY, COPY_HEADER
from devstack import ports
from tasks.leads import call_copies as copies
from worker import redaction

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


def copies_of(redis: Redis, task_id: str) -> dict[str, Any]:
    """The copies of the calls of one task id, by field."""
    kept: dict[Any, Any] = redis.hgetall(COPIES_KEY)
    found = {field.decode(): json.loads(copy) for field, copy in kept.items()}
    return {field: copy for field, copy in found.items() if copy["id"] == task_id}


def test_both_sides_speak_of_the_same_things() -> None:
    assert (COPIES_KEY, COPY_HEADER) == (copies.KEY, copies.HEADER)


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL"])
def test_the_broker_of_the_callers_own_app_is_not_taken_for_the_back_offices(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"redis://{ports.HOST}:{ports.find_free()}/0")

    with CeleryBillingClient(redis_url=os.environ["REDIS_URL"]) as client:
        accepted = client.charge_lead(**LEAD)

    assert [headers["id"] for headers, _ in messages(redis)] == [accepted.event_id]


def test_a_call_is_kept_and_then_sent_by_name_without_showing_its_arguments(
    redis: Redis, client: CeleryBillingClient
) -> None:
    accepted = client.charge_lead(**LEAD, source="google-ads")

    [(headers, kwargs)] = messages(redis)
    assert headers["task"] == "tasks.leads.charge"
    assert headers["id"] == accepted.event_id
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("", "")
    assert kwargs == {**LEAD, "source": "google-ads"}
    [(field, copy)] = copies_of(redis, accepted.event_id).items()
    assert headers[COPY_HEADER] == field
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
    [copy] = copies_of(redis, accepted.event_id).values()
    assert copy["kwargs"] == LEAD


def test_a_key_that_is_used_for_two_calls_has_a_copy_of_each(
    redis: Redis, client: CeleryBillingClient
) -> None:
    other = {**LEAD, "lead_id": "L-2"}
    for lead in (LEAD, other, LEAD):
        client.charge_lead(**lead, idempotency_key="order-7")

    kept = copies_of(redis, "order-7")
    assert sorted(copy["kwargs"]["lead_id"] for copy in kept.values()) == ["L-1", "L-2"]
    for headers, kwargs in messages(redis):
        assert kept[headers[COPY_HEADER]]["kwargs"] == kwargs


@pytest.mark.parametrize("key", ["Asha Rao +91 98765 43210", "9876543210", "a@b.example", "x" * 65])
def test_a_key_that_could_be_personal_becomes_a_uuid_and_always_the_same(
    redis: Redis, client: CeleryBillingClient, key: str
) -> None:
    accepted = [client.charge_lead(**LEAD, idempotency_key=key) for _ in range(2)]

    [task_id] = {result.event_id for result in accepted}
    assert str(UUID(task_id)) == task_id
    assert redaction.task_id(task_id) == task_id
    assert {headers["id"] for headers, _ in messages(redis)} == {task_id}
    assert key not in f"{redis.lrange('leads', 0, -1)} {redis.hgetall(COPIES_KEY)}"


@pytest.mark.parametrize("key", ["order-7", "clinic:42.L_1", "123456789", "x" * 64])
def test_a_key_that_looks_like_an_id_is_the_task_id(client: CeleryBillingClient, key: str) -> None:
    assert client.charge_lead(**LEAD, idempotency_key=key).event_id == key
    assert redaction.task_id(key) == key


def test_without_redis_nothing_is_accepted() -> None:
    url = f"redis://{ports.HOST}:{ports.find_free()}/0"
    with CeleryBillingClient(redis_url=url, retries=1) as client:
        with pytest.raises(Unreachable, match="Redis cannot be reached") as caught:
            client.charge_lead(**LEAD, idempotency_key="our key")
        assert caught.value.idempotency_key == "our key"
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retries": -1}, "retries: must be a whole number, 0 or more"),
        ({"retries": "x"}, "retries: must be a whole number, 0 or more"),
        ({"retries": True}, "retries: must be a whole number, 0 or more"),
        ({"timeout_seconds": -1}, "timeout_seconds: must be more than 0"),
        ({"timeout_seconds": 0}, "timeout_seconds: must be more than 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds: must be more than 0"),
        ({"timeout_seconds": 1e300}, "timeout_seconds: must be more than 0 and at most 3600"),
        ({"timeout_seconds": "x"}, "timeout_seconds: must be a number, not str"),
    ],
    ids=str,
)
def test_a_client_that_cannot_work_is_not_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)) as caught:
        CeleryBillingClient(**{"redis_url": "redis://h", **options})
    assert "S3cret" not in f"{caught.value} {caught.value.__context__}"


@pytest.mark.parametrize("url", [None, "amqp://x", "sqs://", "memory://", 5])
def test_a_broker_that_is_no_redis_is_refused(url: Any) -> None:
    with pytest.raises(InvalidRequest, match="give redis_url"):
        CeleryBillingClient(redis_url=url)
