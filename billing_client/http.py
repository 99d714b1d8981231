"""The transport of `BillingClient`: urllib3, one pool of connections for all threads."""

import os
import time

import urllib3
from urllib3.exceptions import HTTPError

from billing_client.exchange import Answer, Request, Tries, unreachable

BACKOFF_SECONDS = 0.25
CONNECTIONS = 8
"""How many requests `charge_leads` makes at once."""
KEPT_CONNECTIONS = 64
"""Open connections to one host: one for each thread of a platform that calls at once."""


class Http:
    """Sends requests, again and again while `Tries` says so."""

    def __init__(self, *, timeout_seconds: float, retries: int) -> None:
        self._retries = retries
        self._backoff_seconds = BACKOFF_SECONDS
        self._timeout = urllib3.Timeout(total=timeout_seconds)
        self._pool = self._new_pool()
        self._process = os.getpid()
        self._inherited: list[urllib3.PoolManager] = []

    def send(self, request: Request) -> Answer:
        """Return the answer that counts, whatever its status. Raises `Unreachable`."""
        pool = self._pool_of_this_process()
        tries = Tries(self._retries, self._backoff_seconds)
        while True:
            answer: Answer | None = None
            reason = ""
            try:
                raw = pool.request(
                    request.method,
                    request.url,
                    body=request.body,
                    headers=request.headers,
                    redirect=False,
                )
                answer = Answer.of(
                    raw.status, dict(raw.headers), raw.data, retried=tries.were_repeated
                )
            except HTTPError as error:
                reason = _reason(error)
            pause = tries.pause_after(answer)
            if pause is not None:
                time.sleep(pause)
            elif answer is None:
                raise unreachable(request, reason)
            else:
                return answer

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _new_pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(
            maxsize=KEPT_CONNECTIONS,
            timeout=self._timeout,
            retries=False,  # `exchange.py` decides, for all transports in the same way
        )

    def _pool_of_this_process(self) -> urllib3.PoolManager:
        """Return connections that no other process has.

        A forked worker has those of its parent: each would read the answers to the other's
        requests. They are kept, not closed: a thread of the parent may have held their locks.
        """
        if self._process != os.getpid():
            self._inherited.append(self._pool)
            self._pool = self._new_pool()
            self._process = os.getpid()
        return self._pool


def _reason(error: HTTPError) -> str:
    # Without the URL, which could hold a password.
    cause = getattr(error, "reason", None) or error
    return type(cause).__name__
