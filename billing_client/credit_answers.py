"""The API's answers about credit, as results and typed errors; called by `credit_calls.py`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from billing_client.errors import (
    AccountUnknown,
    HoldFinished,
    HoldUnknown,
    IdempotencyConflict,
    NotEnoughCredit,
    Refused,
)
from billing_client.http import Answer
from billing_client.results import Charge, Hold

_Result = TypeVar("_Result")

_STATES = ("open", "captured", "voided", "expired")


def read_hold(answer: Answer) -> Hold:
    """Return the hold of an answer. Raises `Refused` if it is not one."""
    return _read(answer, _hold)


def read_charge(answer: Answer) -> Charge:
    """Return the charge of an answer. Raises `Refused` if it is not one."""
    return _read(answer, _charge)


def raise_typed(refused: Refused, *, account: str = "", hold_id: str = "") -> NoReturn:
    """Raise the refusal as the error of its problem type, or as it is."""
    problem, kind = refused.problem, refused.kind
    typed: Refused = refused
    if kind == "not-enough-credit" and {"needed", "balance", "available"} <= problem.keys():
        typed = NotEnoughCredit(
            account, problem["needed"], problem["balance"], problem["available"]
        )
    elif kind == "unknown-account":
        typed = AccountUnknown(account, refused.detail)
    elif kind == "unknown-hold":
        typed = HoldUnknown(hold_id, refused.detail)
    elif kind == "hold-finished" and "state" in problem:
        typed = HoldFinished(hold_id, str(problem["state"]), refused.detail)
    elif kind == "idempotency-conflict":
        typed = IdempotencyConflict(refused.detail)
    typed.problem = problem
    raise typed from None


def _hold(found: Any, answer: Answer) -> Hold:
    if found["state"] not in _STATES:  # an unknown state must not count as ended
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
        replayed=answer.replayed,
        retried=answer.retried,
    )


def _charge(found: Any, answer: Answer) -> Charge:
    return Charge(
        transaction_id=str(found["transaction_id"]),
        account=str(found["account"]),
        amount=int(found["amount"]),
        balance=int(found["balance"]),
        held=int(found["held"]),
        available=int(found["available"]),
        replayed=answer.replayed,
    )


def _read(answer: Answer, read: Callable[..., _Result]) -> _Result:
    try:
        return read(answer.content, answer)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise Refused(answer.status, "the answer cannot be read: check api_url") from None
