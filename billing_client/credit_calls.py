"""The calls of `BillingClient` about credit: holds and charges."""

import json
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

from billing_client.credit_answers import raise_typed, read_charge, read_hold
from billing_client.errors import InvalidRequest, Refused, Unreachable
from billing_client.http import Answer, Http, service_url
from billing_client.leads import checked_account, checked_id, checked_key
from billing_client.options import checked_api_key
from billing_client.results import Charge, Hold

MAX_AMOUNT = 10**12
"""The largest hold or charge, in credits; the limit of the server."""


class CreditCalls:
    """The calls about credit, and the requests to the API.

    An `idempotency_key` names one operation; by default each call has a new one. A call that is
    repeated under the same key does nothing more and returns the first result.
    """

    def __init__(self, http: Http, *, api_url: str | None, api_key: str | None) -> None:
        self._http = http
        self._api_url = api_url and service_url("api_url", api_url)
        self._api_key = checked_api_key(api_key) if api_key is not None else None

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
        Raises `NotEnoughCredit`, `AccountUnknown`, `IdempotencyConflict`, `Unreachable` (safe to
        call again with its `idempotency_key`), `Unauthorized`, `Refused`, `InvalidRequest`.
        """
        fields = _terms(account, amount, description)
        if expires_in_seconds is not None:
            fields["expires_in_seconds"] = checked_amount("expires_in_seconds", expires_in_seconds)
        try:
            answer = self._post("/v1/holds", fields, idempotency_key)
        except Refused as refused:
            raise_typed(refused, account=account)
        return read_hold(answer)

    def hold_status(self, hold_id: str) -> Hold:
        """Return a hold as it is now. Raises `HoldUnknown`, and as `place_hold`."""
        try:
            found = self._get(_path(hold_id))
        except Refused as refused:
            raise_typed(refused, hold_id=hold_id)
        return read_hold(Answer(200, found, replayed=False))

    def capture_hold(
        self, hold_id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> Hold:
        """Charge the hold, or `amount` of it; the rest is free again.

        Raises `HoldFinished` if it has ended in another way or under another key, `HoldUnknown`,
        and as `place_hold`.
        """
        fields = {} if amount is None else {"amount": checked_amount("amount", amount)}
        return self._finish(hold_id, "capture", fields, idempotency_key)

    def void_hold(self, hold_id: str, *, idempotency_key: str | None = None) -> Hold:
        """Release a hold and charge nothing. Raises as `capture_hold`."""
        return self._finish(hold_id, "void", {}, idempotency_key)

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
        try:
            answer = self._post(
                "/v1/charges", _terms(account, amount, description), idempotency_key
            )
        except Refused as refused:
            raise_typed(refused, account=account)
        return read_charge(answer)

    def close(self) -> None:
        """Close the connections; also at the end of a `with` block."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self, hold_id: str, how: str, fields: dict[str, Any], key: str | None) -> Hold:
        try:
            answer = self._post(f"{_path(hold_id)}/{how}", fields, key)
        except Refused as refused:
            raise_typed(refused, hold_id=hold_id)
        return read_hold(answer)

    def _get(self, path: str) -> Any:
        url, headers = self._address(path)
        return self._http.send("GET", url, headers=headers).content

    def _post(self, path: str, fields: dict[str, Any], idempotency_key: str | None) -> Answer:
        url, headers = self._address(path)
        key = str(uuid4()) if idempotency_key is None else checked_key(idempotency_key)
        headers |= {"content-type": "application/json", "idempotency-key": key}
        try:
            # Always in the same form: a repeat with another body is another request.
            return self._http.send(
                "POST", url, headers=headers, body=json.dumps(fields, sort_keys=True).encode()
            )
        except Unreachable as error:
            raise Unreachable(str(error), idempotency_key=key) from None

    def _address(self, path: str) -> tuple[str, dict[str, str]]:
        if not self._api_url or not self._api_key:
            raise InvalidRequest("api_url and api_key are needed to call the API")
        headers = {"authorization": f"Bearer {self._api_key}", "accept": "application/json"}
        return f"{self._api_url}{path}", headers


def checked_amount(name: str, value: object) -> int:
    """Return a number of credits or seconds, unchanged. Raises `InvalidRequest`."""
    if type(value) is not int:
        raise InvalidRequest(f"{name}: must be a whole number (int), not {type(value).__name__}")
    if not 1 <= value <= MAX_AMOUNT:
        raise InvalidRequest(f"{name}: must be from 1 to {MAX_AMOUNT}")
    return value


def _terms(account: str, amount: int, description: str | None) -> dict[str, Any]:
    fields = {"account": checked_account(account), "amount": checked_amount("amount", amount)}
    return fields if description is None else {**fields, "description": description}


def _path(hold_id: str) -> str:
    if checked_id("hold_id", hold_id) in (".", ".."):
        raise InvalidRequest("hold_id: . and .. cannot stand in a URL")
    return f"/v1/holds/{quote(hold_id, safe='')}"
