"""docs/reference/client.md: each job with what the client asks, and the scope that needs."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from api.app import create_app
from billing.access import keys
from billing_client import AccountUnknown, BillingClient
from billing_client.call import Call
from tests.docs.test_reference import rows

RECEIVER = "/webhooks/"

ARGUMENTS: dict[str, Any] = {
    "account": "clinic:42", "amount": 20, "description": "a report", "dispute_id": 7,
    "dispute_type": "spam", "gateway": "razorpay", "hold_id": "8", "lead_id": "L-17",
    "name": "City Clinic", "order_id": "order_1", "package_price_paise": 600_000,
    "payment_id": "pay_1", "product": "clinic_leads", "reason": "asked for", "refund_id": "rfnd_1",
    "address": "desk@clinic.example", "contact_id": 3,
    "leads": [{"lead_id": "L-17", "account": "clinic:42", "package_price_paise": 600_000}],
}  # fmt: skip
"""What a method is called with, if it cannot be left out."""
CHOICES: dict[str, dict[str, Any]] = {
    "place_order": {"package": "credits_5000"},
    "statement": {"month": "2026-11"},
    "update_account": {"name": "City Clinic"},
}
"""What a method needs of what each could be left out."""


@dataclass(frozen=True)
class Job:
    """A row of the page."""

    method: str
    routes: list[str]
    scopes: list[str]
    """By route; beyond them, those that single fields need."""


def jobs() -> Iterator[Job]:
    for _, method, route, scope in rows("client.md"):
        if method != "method":
            found = re.findall("`([^`]+)`", route), re.findall("`([^`]+)`", scope)
            yield Job(method.strip("`"), *found)


class Asked(BillingClient):
    """A client that notes its calls and sends none."""

    def __init__(self) -> None:
        super().__init__(
            api_url="http://127.0.0.1:1", api_key="k", receiver_url="http://127.0.0.1:1",
            webhook_secret="s" * 32,
        )  # fmt: skip
        self.routes: list[str] = []

    def _run(self, call: Call[Any]) -> Any:
        self.routes.append(f"{call.method} {call.route}")
        raise AccountUnknown("clinic:42", "unknown")  # so that what is found or made is made


def methods() -> list[str]:
    named = inspect.getmembers(BillingClient, inspect.isfunction)
    return [name for name, _ in named if not name.startswith("_") and name != "close"]


def test_each_method_is_on_the_page_once() -> None:
    assert sorted(job.method for job in jobs()) == sorted(methods())


@pytest.mark.parametrize("job", list(jobs()), ids=lambda job: job.method)
def test_a_method_asks_the_routes_of_its_row(job: Job) -> None:
    taken = inspect.signature(getattr(BillingClient, job.method)).parameters.values()
    given = {p.name: ARGUMENTS[p.name] for p in taken if p.default is p.empty and p.name != "self"}
    with Asked() as client:
        try:
            result = getattr(client, job.method)(**given, **CHOICES.get(job.method, {}))
            list(result)  # of a list, which asks when it is read
        except AccountUnknown:
            pass
    assert client.routes == job.routes


OF_THE_CLIENT = {"from": "first_day", "to": "last_day", "type": "topics"}
"""What the client calls a parameter of the API, if not by its name."""


def test_a_method_takes_each_filter_of_its_route() -> None:
    methods_of = {job.routes[0]: job.method for job in jobs() if len(job.routes) == 1}
    for path, operations in create_app().api_doc["paths"].items():
        for method, operation in operations.items():
            taken = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
            if taken:  # but `after`: the client reads page by page
                named = methods_of[f"{method.upper()} {path}"]
                arguments = inspect.signature(getattr(BillingClient, named)).parameters.keys()
                assert {OF_THE_CLIENT.get(n, n) for n in taken - {"after"}} <= arguments, named


def test_each_route_of_the_api_is_on_the_page_with_its_scope() -> None:
    expected = {
        f"{method.upper()} {path}": operation["security"][0]["api_key"]
        for path, operations in create_app().api_doc["paths"].items()
        for method, operation in operations.items()
    }
    written = {
        route: job.scopes[place : place + 1]
        for job in jobs()
        for place, route in enumerate(job.routes)
        if RECEIVER not in route
    }
    assert written == expected


def test_each_scope_is_needed_for_some_job() -> None:
    assert {scope for job in jobs() for scope in job.scopes} == set(keys.SCOPES)
