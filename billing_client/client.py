"""`BillingClient`: every job of a platform, over HTTP, each a method.

The methods say what a job does; `calls/` has the rules by which it is checked and read, and says
how one is added. `async_client.py` has the same methods for asyncio.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from typing import Any, Self, TypeVar

from billing_client.call import Call, Page
from billing_client.calls import credit, leads
from billing_client.errors import BillingError
from billing_client.http import CONNECTIONS, Http
from billing_client.results import Accepted, Charge, Hold, LeadStatus
from billing_client.settings import BillingSettings, settings_of
from billing_client.wire import Wire

_T = TypeVar("_T")


class BillingClient:
    """Speaks HTTP to the billing back office. One serves all threads of a process.

    Give `BillingSettings`, or their fields as keywords. An `idempotency_key` names one operation;
    by default each call has a new one. A call that is repeated under the same key does nothing more
    and returns the first result. A request without an answer is repeated under one key, so each
    call is done once; if there is still no answer, the call raises `Unreachable`, and is safe to be
    made again with its `idempotency_key`. Any call may raise `InvalidRequest` (nothing was sent),
    `Unauthorized`, `Unreachable` and other `Refused`.
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
        self._http = Http(timeout_seconds=chosen.timeout_seconds, retries=chosen.retries)

    # Leads

    def charge_lead(
        self,
        lead_id: str,
        account: str,
        package_price_paise: int,
        source: str | None = None,
        occurred_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Charge a lead once; return when the receiver has recorded it.

        A lead that is sent again, under any key, is not charged again. Raises
        `InvalidRequest` (nothing was sent), `Unreachable` (safe to call again with its
        `idempotency_key`), `Unauthorized`, `Refused`.
        """
        lead = {
            "lead_id": lead_id,
            "account": account,
            "package_price_paise": package_price_paise,
            "source": source,
            "occurred_at": occurred_at,
        }
        return self._run(leads.charge_lead(lead, idempotency_key))

    def charge_leads(self, leads: Iterable[Mapping[str, Any]]) -> list[Accepted | BillingError]:
        """Charge leads, each a mapping of the arguments of `charge_lead`, a few at a time.

        Returns for each lead, in order, what `charge_lead` would return or raise.
        """
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            waiting = [
                threads.submit(copy_context().run, self._charged_or_error, lead) for lead in leads
            ]
            return [one.result() for one in waiting]

    def lead_status(self, lead_id: str) -> LeadStatus:
        """Ask the API for the state of a lead. Raises `LeadUnknown`."""
        return self._run(leads.lead_status(lead_id))

    # Credit

    def place_hold(
        self,
        account: str,
        amount: int,
        *,
        expires_in_seconds: int | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> Hold:
        """Set credit aside until the hold is captured, voided or expires.

        A repeat under the same key returns the first hold as it was then (`replayed`).
        Raises `NotEnoughCredit`, `AccountUnknown`, `IdempotencyConflict`.
        """
        return self._run(
            credit.place_hold(
                account,
                amount,
                expires_in_seconds=expires_in_seconds,
                description=description,
                idempotency_key=idempotency_key,
            )
        )

    def hold_status(self, hold_id: str) -> Hold:
        """Return a hold as it is now. Raises `HoldUnknown`."""
        return self._run(credit.hold_status(hold_id))

    def capture_hold(
        self, hold_id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> Hold:
        """Charge the hold, or `amount` of it; the rest is free again.

        Raises `HoldFinished` if it has ended in another way or under another key, `HoldUnknown`,
        `IdempotencyConflict`.
        """
        return self._run(
            credit.capture_hold(hold_id, amount=amount, idempotency_key=idempotency_key)
        )

    def void_hold(self, hold_id: str, *, idempotency_key: str | None = None) -> Hold:
        """Release a hold and charge nothing. Raises as `capture_hold`."""
        return self._run(credit.void_hold(hold_id, idempotency_key=idempotency_key))

    def charge_credits(
        self,
        account: str,
        amount: int,
        *,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> Charge:
        """Charge credit at once. Raises as `place_hold`.

        Give a key if the call may be repeated: without one, each call is another charge.
        """
        return self._run(
            credit.charge_credits(
                account, amount, description=description, idempotency_key=idempotency_key
            )
        )

    # The client itself

    def close(self) -> None:
        """Close the connections; also at the end of a `with` block."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, call: Call[_T]) -> _T:
        request = self._wire.request_of(call)
        return call.result(self._http.send(request), request)

    def _all(self, call: Call[Page[_T]]) -> Iterator[_T]:
        following: Call[Page[_T]] | None = call
        while following is not None:
            page = self._run(following)
            yield from page.items
            following = page.call

    def _charged_or_error(self, lead: Mapping[str, Any]) -> Accepted | BillingError:
        try:
            return self._run(leads.charge_lead(lead, None))
        except BillingError as error:
            return error
