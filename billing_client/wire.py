"""Turns a `Call` into the request that is sent: address, key or signature, headers, body."""

import json
from typing import Any

from billing_client import request_ids
from billing_client.call import Call
from billing_client.errors import InvalidRequest
from billing_client.exchange import Request
from billing_client.settings import BillingSettings
from billing_client.signing import Signer, signed_headers
from billing_client.version import __version__

USER_AGENT = f"credit-billing-client/{__version__}"


class Wire:
    """Makes the requests of one client; the same for all transports."""

    def __init__(self, settings: BillingSettings) -> None:
        self._settings = settings
        secret = settings.webhook_secret
        self._signer = None if secret is None else Signer(secret)

    def request_of(self, call: Call[Any]) -> Request:
        """Return the request of a call. Raises `InvalidRequest` if the settings lack something."""
        return self._delivery(call) if call.to == "receiver" else self._question(call)

    def _question(self, call: Call[Any]) -> Request:
        url, key = self._settings.api_url, self._settings.api_key
        if not url or not key:
            missing = _missing(api_url=url, api_key=key)
            raise InvalidRequest(f"api_url and api_key are needed to call the API: {missing}")
        headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        body = None
        if call.fields is not None:
            headers["content-type"] = "application/json"
            # Always in the same form: a repeat with another body is another request.
            body = json.dumps(call.fields, sort_keys=True).encode()
        if call.idempotency_key is not None:
            headers["idempotency-key"] = call.idempotency_key
        return self._request(call, f"{url}{call.target}", headers, body)

    def _delivery(self, call: Call[Any]) -> Request:
        url = self._settings.receiver_url
        signer = self._signer
        if not url or signer is None or call.idempotency_key is None:
            missing = _missing(receiver_url=url, webhook_secret=signer)
            raise InvalidRequest(
                f"receiver_url and webhook_secret are needed to charge leads: {missing}"
            )
        body = json.dumps(call.fields).encode()
        headers = signed_headers(signer, call.idempotency_key, body)
        return self._request(call, f"{url}{call.target}", headers, body)

    def _request(
        self, call: Call[Any], url: str, headers: dict[str, str], body: bytes | None
    ) -> Request:
        headers["user-agent"] = USER_AGENT
        request_id = request_ids.current()
        if request_id is not None:
            headers[request_ids.HEADER.lower()] = request_id
        return Request(call.method, url, headers, body, call.idempotency_key, request_id)


def _missing(**needed: object) -> str:
    return f"{' and '.join(name for name, value in needed.items() if not value)} not set"
