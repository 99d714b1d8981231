"""The transport of `AsyncBillingClient`: httpx, one pool of connections for one event loop.

It sends what `http.py` sends, and nothing of the environment's: no proxy, no netrc, no cookie, no
redirect that is followed; certificates are those that the system trusts.
"""

import asyncio
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from billing_client import http
from billing_client.errors import InvalidRequest
from billing_client.exchange import Answer, Request, Tries, unreachable

REQUESTS_AT_ONCE = 16
"""More wait for their turn here: in httpx's own queue each takes the longer the more there are, and
fails if it waits for `timeout_seconds`. One process of the API works on 16 at once."""


class AsyncHttp:
    """Sends requests, again and again while `Tries` says so."""

    def __init__(self, *, timeout_seconds: float, retries: int) -> None:
        self._retries = retries
        self._backoff_seconds = http.BACKOFF_SECONDS
        self._turns = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client = httpx.AsyncClient(
            timeout=timeout_seconds,
            limits=httpx.Limits(
                max_connections=REQUESTS_AT_ONCE, max_keepalive_connections=REQUESTS_AT_ONCE
            ),
            verify=ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            auth=httpx.Auth(),  # else a user in the URL would replace the API key
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def send(self, request: Request) -> Answer:
        """Return the answer that counts, whatever its status. Raises `Unreachable`.

        Raises `InvalidRequest` in another event loop than that of the first request, and after
        `close`.
        """
        self._claim_loop()
        if self._client.is_closed:
            raise InvalidRequest("this AsyncBillingClient is closed: make another one")
        try:
            return await self._send(request)
        except asyncio.CancelledError as cancelled:
            if request.idempotency_key is not None:
                cancelled.add_note(
                    f"{request.method} to {request.host} may have been done, or may still be:"
                    f" repeat it with idempotency_key={request.idempotency_key!r}"
                )
            raise

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, request: Request) -> Answer:
        tries = Tries(self._retries, self._backoff_seconds)
        while True:
            answer: Answer | None = None
            reason = ""
            try:
                async with self._turns:
                    raw = await self._client.request(
                        request.method, request.url, content=request.body, headers=request.headers
                    )
                answer = Answer.of(
                    raw.status_code, dict(raw.headers), raw.content, retried=tries.were_repeated
                )
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                reason = type(error).__name__  # without the URL, which could hold a password
            pause = tries.pause_after(answer)
            if pause is not None:
                await asyncio.sleep(pause)
            elif answer is None:
                raise unreachable(request, reason)
            else:
                return answer

    def _claim_loop(self) -> None:
        # Its connections belong to the loop that opened them: in another one they hang or fail.
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise InvalidRequest(
                "this AsyncBillingClient belongs to another event loop: make one in each loop"
            )
