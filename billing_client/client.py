"""`BillingClient`: charges leads at the receiver and asks the API for their state.

The calls about credit (holds and charges) are in `credit_calls.py`.
"""

import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from billing_client import leads
from billing_client.credit_calls import CreditCalls
from billing_client.errors import (
    BillingError,
    InvalidRequest,
    LeadUnknown,
    Refused,
    Unreachable,
)
from billing_client.http import CONNECTIONS, Http, service_url
from billing_client.results import Accepted, LeadStatus
from billing_client.signing import Signer, signed_headers


class BillingClient(CreditCalls):
    """Speaks HTTP to the billing back office. One serves all threads of a process.

    `receiver_url` and `webhook_secret` are needed to charge leads, `api_url` and `api_key` for
    everything else. A request without an answer, or with an answer that asks to try again, is
    repeated up to `retries` times with growing pauses, under one idempotency key; with a
    `webhook_secret` for less than five minutes in all, the lifetime of a signature.
    `timeout_seconds` limits the wait for a connection and for each part of the answer.
    """

    def __init__(
        self,
        *,
        receiver_url: str | None = None,
        webhook_secret: str | None = None,
        api_url: str | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 10,
        retries: int = 5,
    ) -> None:
        """Raises `InvalidRequest` if an argument is wrong."""
        signs = webhook_secret is not None
        http = Http(timeout_seconds=timeout_seconds, retries=retries, signs=signs)
        super().__init__(http, api_url=api_url, api_key=api_key)
        self._receiver_url = receiver_url and service_url("receiver_url", receiver_url)
        self._signer = Signer(webhook_secret) if webhook_secret is not None else None

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
        return self._charge(lead, idempotency_key)

    def charge_leads(self, leads: Iterable[Mapping[str, Any]]) -> list[Accepted | BillingError]:
        """Charge leads, each a mapping of the arguments of `charge_lead`, a few at a time.

        Returns for each lead, in order, what `charge_lead` would return or raise.
        """
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return list(threads.map(self._charged_or_error, leads))

    def lead_status(self, lead_id: str) -> LeadStatus:
        """Ask the API for the state of a lead.

        Raises `LeadUnknown`, `Unauthorized`, `Refused`, `Unreachable`, `InvalidRequest`.
        """
        lead = quote(leads.checked_id("lead_id", lead_id), safe="")
        if lead_id in (".", ".."):
            # Proxies and servers would read them as steps in the path.
            raise InvalidRequest("lead_id: . and .. cannot stand in a URL")
        try:
            found = self._get(f"/v1/leads/{lead}")
        except Refused as refused:
            if refused.status == 404:
                raise LeadUnknown(lead_id, refused.detail) from None
            raise
        try:
            return LeadStatus(
                str(found["lead_id"]),
                str(found["account"]),
                str(found["state"]),
                int(found["credits"]),
            )
        except (KeyError, OverflowError, TypeError, ValueError):
            raise Refused(200, "the answer is not a lead: check api_url") from None

    def _charged_or_error(self, lead: Mapping[str, Any]) -> Accepted | BillingError:
        try:
            return self._charge(lead, None)
        except BillingError as error:
            return error

    def _charge(self, lead: Mapping[str, Any], idempotency_key: str | None) -> Accepted:
        if not self._receiver_url or self._signer is None:
            raise InvalidRequest("receiver_url and webhook_secret are needed to charge leads")
        fields = leads.checked(lead)
        key = (
            f"msg_{uuid4().hex}" if idempotency_key is None else leads.checked_key(idempotency_key)
        )
        # With `occurred_at` a repeated call is the same delivery, byte for byte.
        moment = fields.get("occurred_at") or datetime.fromtimestamp(time.time(), UTC).isoformat()
        body = json.dumps({"type": "lead.created", "timestamp": moment, "data": fields}).encode()
        try:
            answer = self._http.send(
                "POST",
                f"{self._receiver_url}/webhooks/leads",
                headers=signed_headers(self._signer, key, body),
                body=body,
            )
        except Unreachable as error:
            raise Unreachable(str(error), idempotency_key=key) from None
        return Accepted(fields["lead_id"], key, seen_before=answer.status == 200)
