"""What a caller asks of a hold: the rules for its fields, and what makes two requests the same.

Pure functions; called by `billing/credit/holds.py`.
"""

from dataclasses import dataclass
from datetime import timedelta

from billing.credit.errors import InvalidHold
from billing.ledger import KIND_RULES, Kind
from billing.money import MAX_CREDITS
from billing.text import DESCRIPTION_MAX_LENGTH, ID_MAX_LENGTH, REF_MAX_LENGTH, problem_with
from db.models import Hold

KEY_MAX_LENGTH = 200
"""Shorter than a ledger key, which contains it: `hold:{key}:capture`."""
LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A request to set credit aside."""

    account: str
    amount: int
    idempotency_key: str
    actor: str
    expires_in: timedelta | None
    """None: until it is finished."""
    kind: Kind
    description: str

    def check(self) -> None:
        """Raise `InvalidHold`, which names the field, if the request can never be granted."""
        problems = {
            "account": problem_with(self.account, max_length=REF_MAX_LENGTH),
            **_problems_of_step(self.idempotency_key, self.actor),
            "description": problem_with(
                self.description, max_length=DESCRIPTION_MAX_LENGTH, may_be_empty=True
            ),
        }
        if type(self.amount) is not int or not 1 <= self.amount <= MAX_CREDITS:
            problems["amount"] = f"must be a whole number from 1 to {MAX_CREDITS}"
        if type(self.kind) is not Kind or KIND_RULES[self.kind].reversed_by is None:
            problems["kind"] = f"{self.kind!r} is not a kind of charge"
        if self.expires_in is not None and (
            not isinstance(self.expires_in, timedelta)
            or not timedelta(0) < self.expires_in <= LONGEST
        ):
            problems["expires_in"] = f"must be more than zero and at most {LONGEST.days} days"
        _raise_first(problems)

    def differences(self, hold: Hold, account: str) -> dict[str, tuple[object, object]]:
        """Return field -> (recorded, requested) for all that differs from a hold of `account`."""
        requested = {
            "account": self.account,
            "amount": self.amount,
            "expires_in": self.expires_in,
            "kind": self.kind.value,
            "description": self.description,
        }
        recorded = {
            "account": account,
            "amount": hold.amount,
            "expires_in": hold.expires_at - hold.created_at if hold.expires_at else None,
            "kind": hold.kind,
            "description": hold.description,
        }
        return {
            field: (recorded[field], requested[field])
            for field in requested
            if recorded[field] != requested[field]
        }


def check_step(idempotency_key: str, actor: str) -> None:
    """Raise `InvalidHold` if a request to end a hold has an invalid field."""
    _raise_first(_problems_of_step(idempotency_key, actor))


def may_be_id(hold_id: int) -> bool:
    """Return whether a hold can have this id, so that PostgreSQL can look for it."""
    return type(hold_id) is int and 0 < hold_id < 2**63


def _problems_of_step(idempotency_key: str, actor: str) -> dict[str, str | None]:
    return {
        "idempotency_key": problem_with(idempotency_key, max_length=KEY_MAX_LENGTH),
        "actor": problem_with(actor, max_length=ID_MAX_LENGTH),
    }


def _raise_first(problems: dict[str, str | None]) -> None:
    for field, problem in problems.items():
        if problem:
            raise InvalidHold(field, problem)
