"""`GET /v1/leads/{lead_id}`: what became of a lead, over HTTP."""

import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

import clock
from billing.leads import LeadRequest, charge_leads
from db.deliveries import NewEvent, record
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import open_account
from tests.server_process import Answer

pytestmark = pytest.mark.usefixtures("house")

RS_6000 = 600_000  # costs 180 credits
HAPPENED = datetime(2026, 11, 20, 8, tzinfo=UTC)


def ask(api: ApiProcess, lead_id: str) -> Answer:
    return api.ask(f"/v1/leads/{quote(lead_id, safe='')}", HOUSE_KEY)


def charge(lead_id: str, account: str) -> None:
    request = LeadRequest(
        lead_id=lead_id, account=account, package_price_paise=RS_6000, occurred_at=HAPPENED
    )
    with transaction() as session:
        charge_leads(session, [request], actor="test")


def test_a_charged_lead_is_told_in_full(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}", credits_=1_000)
    before = clock.now()
    charge(f"L-{number}", account)

    answer = ask(api, f"L-{number}")

    assert answer.status == 200
    shown = answer.json
    for moment in ("created_at", "updated_at"):
        assert before <= datetime.fromisoformat(shown.pop(moment)) <= clock.now()
    assert shown == {
        "lead_id": f"L-{number}", "account": account, "state": "charged", "credits": 180,
        "package_price_paise": RS_6000, "conflicts": 0, "occurred_at": "2026-11-20T08:00:00Z",
        "reason": None,
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"


def test_a_lead_is_pending_as_soon_as_its_event_is_recorded(api: ApiProcess, number: int) -> None:
    account = open_account(f"clinic:{number}")
    data = {"lead_id": f"L-{number}", "account": account, "package_price_paise": RS_6000}
    event = {"type": "lead.created", "timestamp": HAPPENED.isoformat(), "data": data}
    with transaction() as session:
        record(session, [NewEvent("leads", f"e-{number}", json.dumps(event).encode(), clock.now())])

    shown = ask(api, f"L-{number}").json

    assert (shown["state"], shown["account"], shown["credits"]) == ("pending", account, 180)


@pytest.mark.parametrize(
    "lead_id",
    [
        "a/b",
        "/a",
        "a//b/",
        "../../etc/passwd",
        "é 日本 🦷",
        "%2F",
        "a?b#c",
        "a+b",
        "'; --",
        "{}",
        ".",
    ],
)
def test_any_id_that_can_be_recorded_can_be_asked_for(
    api: ApiProcess, number: int, lead_id: str
) -> None:
    account = open_account(f"clinic:{number}", credits_=1_000)
    assert ask(api, lead_id).status == 404

    charge(lead_id, account)

    answer = ask(api, lead_id)
    assert answer.status == 200
    assert (answer.json["lead_id"], answer.json["account"]) == (lead_id, account)


@pytest.mark.parametrize(
    "lead_id",
    [
        pytest.param("x" * 10_000, id="10,000 characters"),
        pytest.param("x" * 201, id="201 characters"),
        pytest.param("a\x00b", id="NUL"),
        pytest.param("a\nb", id="a line feed"),
        pytest.param(" ", id="a blank"),
    ],
)
def test_an_id_that_cannot_be_recorded_is_refused_by_name(api: ApiProcess, lead_id: str) -> None:
    answer = ask(api, lead_id)

    assert answer.status == 422
    [field] = problem(answer)["errors"]
    assert field["field"] == "lead_id"
    assert field["detail"].startswith("must ")
    assert problem(answer)["detail"] == f"lead_id: {field['detail']}"
    assert len(answer.body) < 500


def test_bytes_that_are_no_utf_8_are_an_id_that_nobody_has(api: ApiProcess) -> None:
    assert api.ask("/v1/leads/%ff%fe", HOUSE_KEY).status == 404
