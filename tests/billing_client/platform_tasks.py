"""The Celery app of a platform whose tasks are paid for; a worker of its own runs it.

What a run does is said by its `steps`, one for each run of the task, counted in Redis under the
task's id, so that a new process goes on where the last one was killed.
"""

import os
import signal
import time
from typing import Any

from celery import Celery
from celery.exceptions import Ignore, Reject
from redis import Redis

from billing_client import (
    BillingClient,
    NotEnoughCredit,
    Unreachable,
    credits_used,
    require_credits,
)

PRICE = 30
QUEUE = "leads"
"""One that the Procfile's worker takes from."""

app = Celery("platform", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # So that the messages of a worker that was killed come again soon.
    broker_transport_options={
        "visibility_timeout": 8, "unacked_restore_interval": 1, "unacked_restore_throttle": 1,
    },
    broker_connection_retry_on_startup=True,
)  # fmt: skip

client = BillingClient(
    api_url=os.environ.get("BILLING_API_URL", "http://127.0.0.1:9"),
    api_key=os.environ.get("BILLING_API_KEY", "none"),
    retries=1,
)
paid = require_credits(PRICE, client=client, account=lambda account, _: account)


class Wrong(Exception):
    """What a task fails with."""


def _step(task: Any, steps: list[str]) -> str:
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        run = int(redis.incr(f"runs:{task.request.id}"))
    return steps[min(run, len(steps)) - 1]


def _do(task: Any, step: str) -> str:  # noqa: C901 - one line for each
    if step == "fail":
        raise Wrong("it went wrong")
    if step == "retry":
        raise task.retry(countdown=0.1)
    if step == "kill the process":
        os.kill(os.getpid(), signal.SIGKILL)
    if step == "wait and fail":
        with Redis.from_url(os.environ["REDIS_URL"]) as redis:
            while not redis.get("go"):
                time.sleep(0.02)
        raise Wrong("it went wrong")
    if step == "hang":
        time.sleep(60)
    if step == "requeue":
        raise Reject("later", requeue=True)
    if step == "reject":
        raise Reject("never", requeue=False)
    if step == "ignore":
        raise Ignore("not for us")
    if step == "replace":
        raise task.replace(once.si(task.request.args[0], ["ok"]))
    if step == "use 7":
        credits_used(7)
    if step == "unreadable":
        return object()  # type: ignore[return-value]
    return step


@app.task(bind=True, max_retries=2)  # type: ignore[untyped-decorator] # Celery has no types
@paid
def work(self: Any, account: str, steps: list[str]) -> str:
    """Do the next step."""
    return _do(self, _step(self, steps))


@app.task(  # type: ignore[untyped-decorator]
    bind=True, autoretry_for=(Wrong, Unreachable, NotEnoughCredit), max_retries=2,
    default_retry_delay=0.1,
)  # fmt: skip
@paid
def stubborn(self: Any, account: str, steps: list[str]) -> str:
    """Do the next step, again if it fails."""
    return _do(self, _step(self, steps))


@app.task  # type: ignore[untyped-decorator]
@require_credits(5, client=lambda: client, account=lambda account, *_: account)
def once(account: str, steps: list[str]) -> str:
    """Cost 5."""
    return f"{account} did {steps}"


@paid
def _helper(account: str, step: str) -> None:
    if step == "fail":
        raise Wrong("it went wrong")


@app.task(bind=True)  # type: ignore[untyped-decorator]
def forgiving(self: Any, account: str, steps: list[str]) -> str:
    """Catch the failure of what is paid for."""
    try:
        _helper(account, steps[0])
    except Wrong:
        return "forgiven"
    return "ok"


@app.task(bind=True, default_retry_delay=2)  # type: ignore[untyped-decorator]
@require_credits(PRICE, client=client, account=lambda account, _: account, expires_in_seconds=1)
def brief(self: Any, account: str, steps: list[str]) -> str:
    """Do the next step, with a hold that does not last until a retry."""
    step = _step(self, steps)
    if step == "retry":
        raise self.retry()
    return step


@app.task(bind=True, soft_time_limit=1)  # type: ignore[untyped-decorator]
@paid
def slow(self: Any, account: str, steps: list[str]) -> str:
    """Take longer than it may."""
    return _do(self, _step(self, steps))
