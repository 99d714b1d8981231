"""`AsyncBillingClient`: the methods of `BillingClient`, for asyncio (the extra `async`).

The same names, arguments, results and errors, held by tests; the rules are in `calls/`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any, Self, TypeVar

from billing_client.async_http import AsyncHttp
from billing_client.call import Call, Page
from billing_client.calls import credit, leads
from billing_client.errors import BillingError
from billing_client.http import CONNECTIONS
from billing_client.results import Accepted, Charge, Hold, LeadStatus
from billing_client.settings import BillingSettings, settings_of
from billing_client.wire import Wire

_T = TypeVar("_T")


class AsyncBillingClient:
    """Speaks HTTP to the billing back office from asyncio. One serves all tasks of one event loop.

    As `BillingClient`: each method is a coroutine, and each list an async iterator. A call whose
    task is cancelled may have been done, or may still be: give an `idempotency_key` to whatever may
    be cancelled or time out, and repeat the call with it. The `CancelledError` has it as a note.
    """

    def __init__(
        self,
        settings: BillingSettings | None = None,
        *,
        base_url: str | None = None,
        receiver_url: str | None = None,
        webhook_secret: str | None = None,
        api_url: str | None = None,
        api_key: str | None = None,
        timeout_seconds: float | None = None,
        retries: int | None = None,
    ) -> None:
        """Raises `InvalidRequest` if an argument is wrong."""
        chosen = settings_of(
            settings,
            base_url=base_url,
            receiver_url=receiver_url,
            webhook_secret=webhook_secret,
            api_url=api_url,
            api_key=api_key,
            timeout_seconds=timeout_seconds,
            retries=retries,
        )
        self._wire = Wire(chosen)
        self._http = AsyncHttp(timeout_seconds=chosen.timeout_seconds, retries=chosen.retries)

    # Leads

    async def charge_lead(
        self,
        lead_id: str,
        account: str,
        package_price_paise: int,
        source: str | None = None,
        occurred_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """As `BillingClient.charge_lead`."""
        lead = {
            "lead_id": lead_id,
            "account": account,
            "package_price_paise": package_price_paise,
            "source": source,
            "occurred_at": occurred_at,
        }
        return await self._run(leads.charge_lead(lead, idempotency_key))

    async def charge_leads(
        self, leads: Iterable[Mapping[str, Any]]
    ) -> list[Accepted | BillingError]:
        """As `BillingClient.charge_leads`."""
        turns = asyncio.Semaphore(CONNECTIONS)
        calls = [self._charged_or_error(lead, turns) for lead in leads]
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(call) for call in calls]
        return [one.result() for one in waiting]

    async def lead_status(self, lead_id: str) -> LeadStatus:
        """As `BillingClient.lead_status`."""
        return await self._run(leads.lead_status(lead_id))

    # Credit

    async def place_hold(
        self,
        account: str,
        amount: int,
        *,
        expires_in_seconds: int | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> Hold:
        """As `BillingClient.place_hold`."""
        return await self._run(
            credit.place_hold(
                account,
                amount,
                expires_in_seconds=expires_in_seconds,
                description=description,
                idempotency_key=idempotency_key,
            )
        )

    async def hold_status(self, hold_id: str) -> Hold:
        """As `BillingClient.hold_status`."""
        return await self._run(credit.hold_status(hold_id))

    async def capture_hold(
        self, hold_id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> Hold:
        """As `BillingClient.capture_hold`."""
        return await self._run(
            credit.capture_hold(hold_id, amount=amount, idempotency_key=idempotency_key)
        )

    async def void_hold(self, hold_id: str, *, idempotency_key: str | None = None) -> Hold:
        """As `BillingClient.void_hold`."""
        return await self._run(credit.void_hold(hold_id, idempotency_key=idempotency_key))

    async def charge_credits(
        self,
        account: str,
        amount: int,
        *,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> Charge:
        """As `BillingClient.charge_credits`."""
        return await self._run(
            credit.charge_credits(
                account, amount, description=description, idempotency_key=idempotency_key
            )
        )

    # The client itself

    async def close(self) -> None:
        """Close the connections; also at the end of an `async with` block."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, call: Call[_T]) -> _T:
        request = self._wire.request_of(call)
        return call.result(await self._http.send(request), request)

    async def _all(self, call: Call[Page[_T]]) -> AsyncIterator[_T]:
        following: Call[Page[_T]] | None = call
        while following is not None:
            page = await self._run(following)
            for item in page.items:
                yield item
            following = page.call

    async def _charged_or_error(
        self, lead: Mapping[str, Any], turns: asyncio.Semaphore
    ) -> Accepted | BillingError:
        try:
            async with turns:
                return await self._run(leads.charge_lead(lead, None))
        except BillingError as error:
            return error
