"""`CeleryBillingClient`: charges leads through Celery on Redis, without losing one.

Celery's Redis transport can lose a message if a worker is killed while it takes it. So each call is
copied into Redis before it is published. The back office removes the copy when the call is in its
database, and records by itself any call whose copy is still there after a minute.
"""

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Self
from uuid import UUID, uuid4, uuid5

from celery import Celery
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from billing_client import redis_url as redis_url_reader
from billing_client.broker import RedisCluster, celery_app, redis_client
from billing_client.checks import checked_key
from billing_client.errors import BillingError, InvalidRequest, Unreachable
from billing_client.leads import checked
from billing_client.options import checked_retries, checked_timeout
from billing_client.results import Accepted

COPIES_KEY = "billing:lead_copies"
COPY_HEADER = "billing_copy"
QUEUE = "leads"
LEADS_IN_ONE_MESSAGE = 500

_IDS_OF_KEYS = UUID("7d8f6c1e-2b0a-4f57-9c3e-5a41d0b6e982")
"""The namespace of task ids made from keys. With another one a repeated key gets another id."""
_ID = re.compile("[A-Za-z0-9:._-]{1,64}").fullmatch
_PHONE = re.compile(r"[\d:._-]{10,}").fullmatch

_BROKERS = tuple(f"{scheme}://" for scheme in redis_url_reader.SCHEMES)
_UNREACHABLE = (RedisError, KombuError, OperationalError, OSError)


class CeleryBillingClient:
    """Sends through the Celery broker of the back office. One serves all threads of a process.

    A call is accepted once its copy is written. If Redis fails before the message is sent, the
    back office finds the copy a minute later.
    """

    def __init__(
        self,
        *,
        redis_url: str | None = None,
        app: Celery | None = None,
        timeout_seconds: float = 10,
        retries: int = 5,
    ) -> None:
        """Take the broker's URL, or a Celery app with that broker.

        Raises `InvalidRequest` if neither names a Redis, or another argument is wrong.
        """
        url = app.conf.broker_url if redis_url is None and app is not None else redis_url
        if not isinstance(url, str) or not url.strip().startswith(_BROKERS):
            raise InvalidRequest("give redis_url, or an app whose broker is Redis")
        checked_timeout(timeout_seconds)
        checked_retries(retries)
        try:
            address = redis_url_reader.read(url)
        except ValueError as error:
            raise InvalidRequest(f"redis_url: {error}") from None
        self._redis = redis_client(address, timeout_seconds, retries)
        # Not the given app: its routes, queues and retries are set for other work.
        self._app = celery_app(address, timeout_seconds)

    def charge_lead(
        self,
        lead_id: str,
        account: str,
        package_price_paise: int,
        source: str | None = None,
        occurred_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Charge a lead once; return when the copy of the call is in Redis.

        Raises `InvalidRequest` (nothing was sent) or `Unreachable` (safe to call again with its
        `idempotency_key`). The key becomes the Celery task id, which logs and Flower show. A key
        that does not look like an id, or looks like a phone number, is replaced by a UUID.
        """
        fields = checked(
            {
                "lead_id": lead_id,
                "account": account,
                "package_price_paise": package_price_paise,
                "source": source,
                "occurred_at": occurred_at,
            }
        )
        key = str(uuid4()) if idempotency_key is None else checked_key(idempotency_key)
        task_id = _task_id_of(key)
        try:
            self._send("tasks.leads.charge", task_id, fields)
        except Unreachable as error:
            raise Unreachable(str(error), idempotency_key=key) from None
        return Accepted(fields["lead_id"], task_id, seen_before=False)

    def charge_leads(self, leads: Iterable[Mapping[str, Any]]) -> list[Accepted | BillingError]:
        """Charge leads, each a mapping of the arguments of `charge_lead`, 500 to a message.

        Returns for each lead, in order, what `charge_lead` would return or raise.
        """
        results: list[Accepted | BillingError | None] = []
        waiting: list[tuple[int, dict[str, Any]]] = []
        for place, lead in enumerate(leads):
            results.append(None)
            try:
                waiting.append((place, checked(lead)))
            except InvalidRequest as error:
                results[place] = error
            if len(waiting) == LEADS_IN_ONE_MESSAGE:
                self._send_many(waiting, results)
                waiting = []
        if waiting:
            self._send_many(waiting, results)
        return [result for result in results if result is not None]

    def close(self) -> None:
        """Close the connections; also at the end of a `with` block."""
        self._app.close()
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send_many(
        self,
        waiting: Sequence[tuple[int, dict[str, Any]]],
        results: list[Accepted | BillingError | None],
    ) -> None:
        key = str(uuid4())
        try:
            self._send("tasks.leads.charge_many", key, {"leads": [lead for _, lead in waiting]})
        except Unreachable as error:
            for place, _ in waiting:
                results[place] = error
            return
        for index, (place, lead) in enumerate(waiting):
            results[place] = Accepted(lead["lead_id"], f"{key}:{index}", seen_before=False)

    def _send(self, task: str, task_id: str, kwargs: dict[str, Any]) -> None:
        call = {"id": task_id, "task": task, "kwargs": kwargs}
        # Another call under the same key must not remove the copy of this one.
        content = sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()
        field = f"{task_id}:{content[:32]}"
        try:
            self._redis.hset(COPIES_KEY, field, json.dumps({**call, "at": time.time()}))
        except RedisCluster as error:
            raise InvalidRequest(str(error)) from None
        except _UNREACHABLE as error:
            raise Unreachable(
                f"Redis cannot be reached: {type(error).__name__}", idempotency_key=task_id
            ) from None
        try:
            self._app.send_task(
                task,
                kwargs=kwargs,
                task_id=task_id,
                queue=QUEUE,
                headers={COPY_HEADER: field},
                serializer="json",
                ignore_result=True,
                # Celery would write the arguments into the headers, which logs and Flower show.
                argsrepr="",
                kwargsrepr="",
            )
        except _UNREACHABLE:
            return  # the back office finds the copy


def _task_id_of(key: str) -> str:
    """Return a key that may be shown as it is; any other as a UUID, always the same one."""
    return key if _ID(key) and not _PHONE(key) else str(uuid5(_IDS_OF_KEYS, key))
