"""Spending credit: holds and charges."""

from typing import Any

from billing_client.call import Call, get, given, post
from billing_client.checks import checked_account, checked_amount, checked_id
from billing_client.exchange import Answer
from billing_client.reading import read
from billing_client.results import Charge, Hold


def place_hold(
    account: str,
    amount: int,
    *,
    expires_in_seconds: int | None,
    description: str | None,
    idempotency_key: str | None,
) -> Call[Hold]:
    """Set credit aside."""
    fields = _terms(account, amount, description)
    if expires_in_seconds is not None:
        fields["expires_in_seconds"] = checked_amount("expires_in_seconds", expires_in_seconds)
    return post("/v1/holds", _hold, fields=fields, idempotency_key=idempotency_key, ref=account)


def hold_status(hold_id: str) -> Call[Hold]:
    """Return a hold as it is now."""
    checked_id("hold_id", hold_id)
    return get("/v1/holds/{hold_id}", _hold, hold_id=hold_id)


def capture_hold(hold_id: str, *, amount: int | None, idempotency_key: str | None) -> Call[Hold]:
    """Charge a hold, or a part of it."""
    fields = given(amount=None if amount is None else checked_amount("amount", amount))
    return _finish(hold_id, "capture", fields, idempotency_key)


def void_hold(hold_id: str, *, idempotency_key: str | None) -> Call[Hold]:
    """Release a hold."""
    return _finish(hold_id, "void", {}, idempotency_key)


def charge_credits(
    account: str, amount: int, *, description: str | None, idempotency_key: str | None
) -> Call[Charge]:
    """Charge credit at once."""
    return post(
        "/v1/charges",
        _charge,
        fields=_terms(account, amount, description),
        idempotency_key=idempotency_key,
        ref=account,
    )


def _finish(
    hold_id: str, how: str, fields: dict[str, Any], idempotency_key: str | None
) -> Call[Hold]:
    checked_id("hold_id", hold_id)
    return post(
        f"/v1/holds/{{hold_id}}/{how}",
        _hold,
        fields=fields,
        idempotency_key=idempotency_key,
        hold_id=hold_id,
    )


def _terms(account: str, amount: int, description: str | None) -> dict[str, Any]:
    return given(
        account=checked_account(account),
        amount=checked_amount("amount", amount),
        description=description,
    )


def _hold(answer: Answer) -> Hold:
    return read(Hold, answer.content, replayed=answer.replayed, retried=answer.retried)


def _charge(answer: Answer) -> Charge:
    return read(Charge, answer.content, replayed=answer.replayed)
