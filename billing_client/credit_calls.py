"""What `BillingClient` asks the API of credit: holds and charges."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

from billing_client.errors import (
    AccountUnknown,
    HoldFinished,
    HoldUnknown,
    IdempotencyConflict,
    InvalidRequest,
    NotEnoughCredit,
    Refused,
    Unreachable,
)
from billing_client.http import Answered, Http, service_url
from billing_client.leads import checked_account, checked_id, checked_key
from billing_client.options import checked_api_key
from billing_client.results import Charge, Hold

MAX_AMOUNT = 10**12
"""Of one hold or charge, in credits, by the rule of the server."""

_Found = TypeVar("_Found")


class CreditCalls:
    """The calls about credit, and how the API is asked.

    Each `idempotency_key` is one of your own for each thing that is to be done, by default a new
    one: a call that is repeated under it does nothing more and returns the first result.
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
        """Set credit aside, until it is captured, voided, or expires.

        Under a key that was used before the hold of then is returned as it was then (`replayed`).
        Raises `NotEnoughCredit`, `AccountUnknown`, `IdempotencyConflict`, `Unreachable` (safe to
        call again with its `idempotency_key`), `Unauthorized`, `Refused`, `InvalidRequest`.
        """
        asked = _terms(account, amount, description)
        if expires_in_seconds is not None:
            asked["expires_in_seconds"] = checked_amount("expires_in_seconds", expires_in_seconds)
        try:
            answered = self._post("/v1/holds", asked, idempotency_key)
        except Refused as refused:
            _raise_typed(refused, account=account)
        return _hold(answered)

    def hold_status(self, hold_id: str) -> Hold:
        """Ask what is true of a hold now. Raises `HoldUnknown` and as `place_hold`."""
        try:
            found = self._get(_path(hold_id))
        except Refused as refused:
            _raise_typed(refused, hold_id=hold_id)
        return _hold(Answered(200, found, replayed=False))

    def capture_hold(
        self, hold_id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> Hold:
        """Charge what is held, or `amount` of it; the rest is free again.

        Raises `HoldFinished` where it has ended otherwise or under another key, `HoldUnknown`,
        and as `place_hold`.
        """
        asked = {} if amount is None else {"amount": checked_amount("amount", amount)}
        return self._finish(hold_id, "capture", asked, idempotency_key)

    def void_hold(self, hold_id: str, *, idempotency_key: str | None = None) -> Hold:
        """Free what is held. Raises as `capture_hold`."""
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

        Where it may have to be repeated, give a key: without one, each call is another charge.
        """
        try:
            answered = self._post(
                "/v1/charges", _terms(account, amount, description), idempotency_key
            )
        except Refused as refused:
            _raise_typed(refused, account=account)
        return _read(answered, _charge)

    def close(self) -> None:
        """Close the connections; also at the end of a `with` block."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self, hold_id: str, how: str, asked: dict[str, Any], key: str | None) -> Hold:
        try:
            answered = self._post(f"{_path(hold_id)}/{how}", asked, key)
        except Refused as refused:
            _raise_typed(refused, hold_id=hold_id)
        return _hold(answered)

    def _get(self, path: str) -> Any:
        url, headers = self._door(path)
        return self._http.send("GET", url, headers=headers).content

    def _post(self, path: str, asked: dict[str, Any], idempotency_key: str | None) -> Answered:
        url, headers = self._door(path)
        key = str(uuid4()) if idempotency_key is None else checked_key(idempotency_key)
        headers |= {"content-type": "application/json", "idempotency-key": key}
        try:
            # In one form always: a repeat with another body is another request.
            return self._http.send(
                "POST", url, headers=headers, body=json.dumps(asked, sort_keys=True).encode()
            )
        except Unreachable as error:
            raise Unreachable(str(error), idempotency_key=key) from None

    def _door(self, path: str) -> tuple[str, dict[str, str]]:
        if not self._api_url or not self._api_key:
            raise InvalidRequest("api_url and api_key are needed to ask the API")
        headers = {"authorization": f"Bearer {self._api_key}", "accept": "application/json"}
        return f"{self._api_url}{path}", headers


def checked_amount(name: str, value: object) -> int:
    """Return a number as it is sent. Raises `InvalidRequest`."""
    if type(value) is not int:
        raise InvalidRequest(f"{name}: must be a whole number (int), not {type(value).__name__}")
    if not 1 <= value <= MAX_AMOUNT:
        raise InvalidRequest(f"{name}: must be from 1 to {MAX_AMOUNT}")
    return value


def _terms(account: str, amount: int, description: str | None) -> dict[str, Any]:
    asked = {"account": checked_account(account), "amount": checked_amount("amount", amount)}
    return asked if description is None else {**asked, "description": description}


def _path(hold_id: str) -> str:
    if checked_id("hold_id", hold_id) in (".", ".."):
        raise InvalidRequest("hold_id: . and .. cannot be asked for by address")
    return f"/v1/holds/{quote(hold_id, safe='')}"


def _raise_typed(refused: Refused, *, account: str = "", hold_id: str = "") -> NoReturn:
    """Raise what the problem says in a type of its own, or the refusal as it is."""
    told, kind = refused.problem, refused.kind
    typed: Refused = refused
    if kind == "not-enough-credit" and {"needed", "balance", "available"} <= told.keys():
        typed = NotEnoughCredit(account, told["needed"], told["balance"], told["available"])
    elif kind == "unknown-account":
        typed = AccountUnknown(account, refused.detail)
    elif kind == "unknown-hold":
        typed = HoldUnknown(hold_id, refused.detail)
    elif kind == "hold-finished" and "state" in told:
        typed = HoldFinished(hold_id, str(told["state"]), refused.detail)
    elif kind == "idempotency-conflict":
        typed = IdempotencyConflict(refused.detail)
    typed.problem = told
    raise typed from None


def _hold(answered: Answered) -> Hold:
    return _read(answered, _hold_of)


_STATES = ("open", "captured", "voided", "expired")


def _hold_of(found: Any, *, replayed: bool) -> Hold:
    if found["state"] not in _STATES:  # else a hold that is there would be taken for an ended one
        raise ValueError("state")
    expires_at = found.get("expires_at")
    transaction_id = found.get("transaction_id")
    return Hold(
        hold_id=str(found["hold_id"]),
        account=str(found["account"]),
        state=str(found["state"]),
        amount=int(found["amount"]),
        captured=int(found["captured"]),
        expires_at=None if expires_at is None else datetime.fromisoformat(expires_at),
        transaction_id=None if transaction_id is None else str(transaction_id),
        balance=found.get("balance"),
        held=found.get("held"),
        available=found.get("available"),
        replayed=replayed,
    )


def _charge(found: Any, *, replayed: bool) -> Charge:
    return Charge(
        transaction_id=str(found["transaction_id"]),
        account=str(found["account"]),
        amount=int(found["amount"]),
        balance=int(found["balance"]),
        held=int(found["held"]),
        available=int(found["available"]),
        replayed=replayed,
    )


def _read(answered: Answered, read: Callable[..., _Found]) -> _Found:
    try:
        return read(answered.content, replayed=answered.replayed)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise Refused(answered.status, "the answer cannot be read: is api_url right?") from None
