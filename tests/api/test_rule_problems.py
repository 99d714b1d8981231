"""Each error of the rules and the gateways that reaches the API is a problem, never a bare 500."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from datetime import datetime
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient

import billing
import clock
import db
import gateways
import tasks
from api.rule_refusals import refusal_of
from billing.access.idempotency import LeaseLost
from billing.errors import IdempotencyConflict
from billing.ledger import SecondPost
from db.errors import StatementFailed
from db.roles import Role
from errors import BillingError, InvalidField, NotFound, PermanentError, TransientError
from tests.api.test_idempotency import Wishes, client, kind, post, wishes

__all__ = ["client", "wishes"]

FOR_OPERATORS_ONLY = {
    "ApiKeyExists", "CannotAnchor", "CannotAttach", "EndpointBusy", "EndpointIsOff",
    "InvalidAnchor", "LeadNotParked", "InvalidIdentity", "NoSchema", "NotInDevelopment",
    "NotPlacedYet", "NothingToRefund", "NothingToWriteOff", "OpenedOtherwise", "OtherPlace",
    "ReasonNamesPerson", "ReversalTooLarge", "TimeCannotMove", "UnknownRole", "UnreadableEvent",
    "UnreadableRow",
    # Of the pages, and of what sends notices and mails.
    "BadToken", "CannotDecrypt", "ExpiredToken", "LinkOutOfUse", "MailRefused", "NoWebSecret",
    "Refused", "UnsafeMail",
}  # fmt: skip
"""What no route can meet. A new error is named here or gets a line of its own in the API."""

OURS = {SecondPost, StatementFailed}
"""Mistakes that no caller can do anything about: a 500, with its traceback in the log."""


def errors_below(base: type[BillingError]) -> Iterator[type[BillingError]]:
    for error in base.__subclasses__():
        yield error
        yield from errors_below(error)


def import_all(package: ModuleType) -> None:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".migrations." not in module.name:
            importlib.import_module(module.name)


for _package in (billing, db, gateways, tasks):
    import_all(_package)
BASES = {TransientError, PermanentError, InvalidField, NotFound}
ALL = sorted(
    {e for e in errors_below(BillingError) if not e.__module__.startswith("tests")} - BASES,
    key=lambda e: e.__name__,
)


def example(error: type[BillingError]) -> BillingError:
    """One of these errors, with something in each of its fields."""
    if error.__init__ is BillingError.__init__:  # Python's own, which takes a text
        return error("something")
    given: dict[str, Any] = {
        "reason": "no_plan_to_renew", "ended_at": clock.now(), "differences": {"amount": (1, 2)},
        "gateways": ("razorpay", "stripe"), "known": ("razorpay",),
        "wrong": {"statement_timeout": ("0", "15000")}, "payload": {},
    }  # fmt: skip
    parameters = inspect.signature(error).parameters.values()
    of_type = {int: 1, datetime: clock.now(), Role: Role.DOORS}
    return error(
        *[given.get(p.name, of_type.get(p.annotation, "it")) for p in parameters
          if p.kind is p.POSITIONAL_OR_KEYWORD],
        **{p.name: given.get(p.name, 1) for p in parameters if p.kind is p.KEYWORD_ONLY},
    )  # fmt: skip


@pytest.mark.parametrize("error", ALL, ids=lambda kind: kind.__name__)
def test_an_error_of_the_rules_has_its_problem(error: type[BillingError]) -> None:
    refusal = refusal_of(example(error))

    if error in OURS:
        assert refusal is None
    elif issubclass(error, TransientError) and error.__module__ != "gateways.errors":
        assert refusal is None  # the database's: a 503 of `api/problems.py`
    else:
        assert refusal is not None
        assert refusal.status in {402, 403, 404, 409, 410, 422, 503}
        assert (refusal.type.endswith(":refused")) == (error.__name__ in FOR_OPERATORS_ONLY)
        assert "billing " not in refusal.detail  # what an operator would type


def test_no_error_of_the_rules_reaches_a_client_as_a_500(
    client: FlaskClient, wishes: Wishes
) -> None:
    for error in ALL:
        if error in {*OURS, LeaseLost}:
            continue
        wishes.raises = example(error)

        answer = post(client, "raised")

        transient = isinstance(wishes.raises, TransientError)
        unclear = error.__name__ == "UnreadableAnswer"
        assert (answer.status_code == 503) == (transient or unclear), error
        assert answer.status_code < 500 or answer.status_code == 503
        assert answer.content_type == "application/problem+json"
        assert "Traceback" not in answer.text


def test_a_conflict_of_a_key_in_the_ledger_is_a_409_at_every_route(
    client: FlaskClient, wishes: Wishes
) -> None:
    wishes.raises = IdempotencyConflict("api:house:k-1", {"amount": (1, 2)})

    answer = post(client, "raised")

    assert (answer.status_code, kind(answer)) == (409, "idempotency-conflict")
    assert "api:house" not in answer.text
