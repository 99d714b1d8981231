"""What the client refuses by itself is what the server would refuse."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from billing.accounts import changes
from billing.leads import LeadRequest
from billing.text import problem_with, problem_with_identity
from billing_client import InvalidRequest
from billing_client.checks import checked_id, checked_key
from billing_client.leads import checked

LEAD = {"lead_id": "L-1", "account": "clinic:42", "package_price_paise": 600_000}
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        {}, {"lead_id": "x" * 200}, {"account": "clinic:" + "x" * 93}, {"lead_id": "ಆಶಾ"},
        {"lead_id": "\u0c95\u0ccd\u200d\u0cb7"},
        {"package_price_paise": 0}, {"package_price_paise": 2**53 - 1},
        {"source": None, "occurred_at": None}, {"source": "google-ads", "occurred_at": NOON},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_client_sends_the_server_takes(change: dict[str, Any]) -> None:
    sent = checked({**LEAD, **change})
    assert LeadRequest.model_validate_json(json.dumps(sent)).lead_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lead_id": ""}, "lead_id: must not be empty"),
        ({"lead_id": "  "}, "lead_id: must not be empty"),
        ({"lead_id": 5}, "lead_id: must be text, not int"),
        ({"lead_id": "x" * 201}, "lead_id: must be at most 200 characters, not 201"),
        ({"lead_id": "a\x00b"}, "lead_id: must not hold control characters"),
        ({"lead_id": "\ud800"}, "lead_id: must not hold control characters"),
        ({"lead_id": "L\u200b-1"}, "lead_id: must not hold U+200B, which is invisible"),
        ({"account": "x" * 101}, "account: must be at most 100 characters"),
        ({"package_price_paise": -1}, "package_price_paise: must be from 0"),
        ({"package_price_paise": 2**53}, "package_price_paise: must be from 0"),
        ({"package_price_paise": 1.0}, "package_price_paise: must be whole paise (int), not float"),
        ({"package_price_paise": True}, "package_price_paise: must be whole paise (int), not bool"),
        ({"package_price_paise": "5"}, "package_price_paise: must be whole paise (int), not str"),
        ({"occurred_at": datetime(1999, 1, 1, tzinfo=UTC)}, "occurred_at: must be in the years"),
    ],
    ids=str,
)
def test_what_the_client_refuses_the_server_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked({**LEAD, **change})
    assert str(caught.value).startswith(message)
    with pytest.raises(ValidationError):
        LeadRequest.model_validate({**LEAD, **change})


@pytest.mark.parametrize("source", ["", "x\u202ey", "x\u00ady", "Cafe\u0301", "a\u00a0b"])
def test_a_source_that_the_server_would_leave_out_is_an_error_of_the_caller(source: str) -> None:
    with pytest.raises(InvalidRequest, match="source: must"):
        checked({**LEAD, "source": source})
    assert LeadRequest.model_validate({**LEAD, "source": source}).source is None


@pytest.mark.parametrize(
    ("lead", "message"),
    [
        ({"lead_id": "L-1"}, "account, package_price_paise: missing"),
        ({**LEAD, "98765": 1}, "1 unknown fields: a lead has lead_id"),
        ({**LEAD, "occurred_at": NOON.replace(tzinfo=None)}, "occurred_at: must have a time zone"),
        ({**LEAD, "occurred_at": "2026-11-21"}, "occurred_at: must be a datetime, not str"),
        (["L-1"], "a lead must be a mapping of its fields, not list"),
    ],
    ids=str,
)
def test_what_is_no_lead_is_told_by_field(lead: Any, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked(lead)
    assert str(caught.value).startswith(message)


def test_client_and_server_agree_on_every_character() -> None:
    for number in [*range(0x3200), *range(0xD7FF, 0xE001), *range(0xFE00, 0x10000)]:
        lead_id = f"a{chr(number)}b"
        if problem_with_identity(lead_id, max_length=200) is None:
            assert checked({**LEAD, "lead_id": lead_id})["lead_id"] == lead_id
        else:
            with pytest.raises(InvalidRequest, match="lead_id: must"):
                checked({**LEAD, "lead_id": lead_id})
        if problem_with(lead_id, max_length=200) is None:
            assert checked_id("lead_id", lead_id) == lead_id  # it may be on record


@pytest.mark.parametrize(
    "account", ["City Clinic", "clinic", "clinic:", "Clinic:42", "clinic:42\n", "clinic:a b", ":4"]
)
def test_an_account_that_no_server_can_have_is_refused(account: str) -> None:
    with pytest.raises(InvalidRequest, match="account: must"):
        checked({**LEAD, "account": account})
    assert not changes._REF.fullmatch(account)


@pytest.mark.parametrize("key", ["", " ", "abc ", " abc", "x" * 201, "a\nb", "ಆಶಾ", 5])
def test_a_key_that_no_header_holds_is_refused(key: Any) -> None:
    with pytest.raises(InvalidRequest, match="idempotency_key: must be 1 to 200 printable"):
        checked_key(key)
