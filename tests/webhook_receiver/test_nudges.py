"""A recorded event puts one nudge on the queue, where any Celery program can see it."""

import base64
import json
import os
import time
from typing import Any

from celery import Celery
from redis import Redis

from tasks.plumbing import nudges
from tests.stack_process import eventually
from tests.webhook_receiver.receiver_process import ReceiverProcess, delivery


def test_a_nudge_is_a_plain_celery_message_on_a_plain_list(
    receiver: ReceiverProcess, redis: Redis
) -> None:
    assert receiver.post(delivery()).status == 202

    message = _nudge(redis)

    assert redis.type("leads") == b"list"
    assert message["headers"]["task"] == "tasks.inbox.drain"
    args, _, _ = json.loads(base64.b64decode(message["body"]))
    assert args == ["leads"]


def test_an_app_that_knows_nothing_of_us_can_take_the_nudge(
    receiver: ReceiverProcess, redis: Redis
) -> None:
    assert receiver.post(delivery()).status == 202
    _nudge(redis)

    # When another Celery app, with no configuration but the broker, reads the queue
    with (
        Celery("stranger", broker=os.environ["REDIS_URL"]).connection_for_read() as connection,
        connection.SimpleQueue("leads") as queue,
    ):
        message = queue.get(timeout=5)
        message.ack()

    assert message.headers["task"] == "tasks.inbox.drain"


def test_many_events_put_one_nudge_while_none_is_taken(
    receiver: ReceiverProcess, redis: Redis
) -> None:
    for _ in range(50):
        assert receiver.post(delivery()).status == 202
    _nudge(redis)

    time.sleep(0.3)  # a second one would be on its way by now

    assert redis.llen("leads") == 1


def test_an_event_after_the_nudge_was_taken_puts_another(
    receiver: ReceiverProcess, redis: Redis
) -> None:
    assert receiver.post(delivery()).status == 202
    _nudge(redis)
    nudges.acknowledge("leads")

    assert receiver.post(delivery()).status == 202

    eventually("a second nudge is there", lambda: redis.llen("leads") == 2, seconds=5)


def test_what_was_not_recorded_anew_nudges_nobody(receiver: ReceiverProcess, redis: Redis) -> None:
    # Given an event whose nudge is gone
    event = delivery()
    assert receiver.post(event).status == 202
    _nudge(redis)
    redis.flushdb()

    assert receiver.post(event).status == 200
    assert receiver.post(delivery(webhook_signature=None)).status == 401

    time.sleep(0.3)
    assert redis.llen("leads") == 0


def _nudge(redis: Redis) -> Any:
    eventually("a nudge is there", lambda: redis.llen("leads"), seconds=5)
    [message] = redis.lrange("leads", 0, -1)
    return json.loads(message)
