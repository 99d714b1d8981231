"""What `require_credits` is, wherever it runs."""

import inspect
import re
from typing import Any

import pytest

from billing_client import BillingClient, InvalidRequest, credits_used, require_credits

CLIENT = BillingClient(api_url="http://127.0.0.1:9", api_key="k")


@require_credits(5, client=CLIENT, account="clinic:42")
def report(pages: int, *, colour: bool = False) -> str:
    """Print a report."""
    return f"{pages} {colour}"


def test_a_function_keeps_its_name_its_words_and_its_signature() -> None:
    assert report.__name__ == "report"
    assert report.__doc__ == "Print a report."
    assert list(inspect.signature(report).parameters) == ["pages", "colour"]
    # Celery looks with this one, which does not look at what is wrapped by itself
    assert inspect.getfullargspec(report).kwonlyargs == ["colour"]


def test_where_nobody_can_tell_whether_it_succeeded_it_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match="neither in a Flask request nor in a task"):
        report(7)


def test_credits_used_belongs_inside() -> None:
    with pytest.raises(InvalidRequest, match="only while a function with require_credits runs"):
        credits_used(1)


@pytest.mark.parametrize("seconds", [0, -1, 1.5, True, "60"])
def test_a_hold_of_no_time_is_refused_where_it_is_written(seconds: int) -> None:
    with pytest.raises(InvalidRequest, match=re.escape("expires_in_seconds: must be")):
        require_credits(5, client=CLIENT, account="clinic:42", expires_in_seconds=seconds)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"amount": -1}, "amount: must be from 1"),
        ({"amount": 10**12 + 1}, "amount: must be from 1"),
        ({"amount": 1.5}, "amount: must be a whole number (int), not float"),
        ({"amount": False}, "amount: must be a whole number (int), not bool"),
        ({"amount": None}, "amount: must be a whole number (int), not NoneType"),
        ({"account": "42"}, "account: must be kind:id"),
        ({"account": None}, "account: must be text"),
        ({"key": ""}, "key: must be text"),
    ],
    ids=str,
)
def test_what_can_never_be_right_is_refused_where_it_is_written(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        require_credits(**{"amount": 5, "client": CLIENT, "account": "clinic:42", **wrong})
