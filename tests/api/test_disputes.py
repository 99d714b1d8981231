"""`/v1/disputes` and `/v1/accounts/{ref}/disputes`: opened once, in reach alone, in pages."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

import clock
from billing.access import keys as api_keys
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.disputes.given import approve, charge, dispute, dispute_all, reject
from tests.billing.given import open_account, rows
from tests.server_process import Answer

pytestmark = pytest.mark.usefixtures("house")

PRIVATE = "Asha 98765 43210"


@pytest.fixture
def clinic(number: int) -> str:
    """An account with one charged lead, `L-{number}`."""
    ref = open_account(f"clinic:{number}", credits_=10_000)
    charge(f"L-{number}", account=ref)
    return ref


def body(number: int, **more: object) -> dict[str, Any]:
    return {
        "lead_id": f"L-{number}", "account": f"clinic:{number}", "dispute_type": "spam",
        "description": PRIVATE, **more,
    }  # fmt: skip


def make_key(name: str, **more: object) -> str:
    with transaction(Role.OWNER) as session:
        return api_keys.create(session, name=name, **more)  # type: ignore[arg-type]


def withdraw(api: ApiProcess, id_: object, key: str = HOUSE_KEY, once: str | None = None) -> Answer:
    headers = [("idempotency-key", once or str(uuid4()))]
    return api.ask(f"/v1/disputes/{id_}/withdraw", key, more=headers, method="POST")


def kind(answer: Answer) -> str:
    return str(problem(answer)["type"].removeprefix("urn:problem-type:billing:"))


def test_a_dispute_is_opened_told_and_logged(api: ApiProcess, number: int, clinic: str) -> None:
    before, logged = clock.now(), len(api.log)

    answer = api.post("/v1/disputes", HOUSE_KEY, body(number, evidence={"calls": [1, None]}))

    assert answer.status == 201, answer.body
    shown = answer.json
    assert before <= datetime.fromisoformat(shown["created_at"]) <= clock.now()
    assert shown == {
        "dispute_id": shown["dispute_id"], "lead_id": f"L-{number}", "account": clinic,
        "dispute_type": "spam", "description": PRIVATE, "evidence": {"calls": [1, None]},
        "state": "pending", "created_at": shown["created_at"], "resolved_at": None, "notes": None,
        "credits_refunded": 0,
    }  # fmt: skip
    assert api.ask(f"/v1/disputes/{shown['dispute_id']}", HOUSE_KEY).json == shown
    assert rows("SELECT opened_by FROM lead_disputes WHERE id = :id", id=shown["dispute_id"]) == [
        ("api-key:house",)
    ]
    log = api.log[logged:]
    assert log.count(f"Dispute created: Lead L-{number}, Type spam") == 1
    assert "98765" not in log


def test_the_same_request_again_is_the_same_dispute_and_one_line(
    api: ApiProcess, number: int, clinic: str
) -> None:
    first = api.post("/v1/disputes", HOUSE_KEY, body(number), once=f"d-{number}")
    again = api.post("/v1/disputes", HOUSE_KEY, body(number), once=f"d-{number}")

    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert api.log.count(f"Dispute created: Lead L-{number},") == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"dispute_type": "dear"}, "dispute_type"),
        ({"dispute_type": 1}, "dispute_type"),
        ({"description": ""}, "description"),
        ({"description": "x" * 1_001}, "description"),
        ({"description": "a\u0000"}, "description"),
        ({"evidence": "x" * 16_384}, "evidence"),
        ({"evidence": {"a": "\u0000"}}, "evidence"),
        ({"lead_id": 5}, "lead_id"),
        ({"lead": "L-1"}, "lead"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_field_that_makes_no_sense_is_refused_by_name(
    api: ApiProcess, number: int, clinic: str, more: dict[str, Any], field: str
) -> None:
    answer = api.post("/v1/disputes", HOUSE_KEY, body(number, **more))

    assert answer.status == 422
    assert [error["field"] for error in problem(answer)["errors"]] == [field]


def test_evidence_that_is_no_json_number_is_refused(
    api: ApiProcess, number: int, clinic: str
) -> None:
    sent = (
        f'{{"lead_id": "L-{number}", "account": "{clinic}", "dispute_type": "spam",'
        ' "description": "x", "evidence": [NaN, 1e999]}'
    )
    assert api.post("/v1/disputes", HOUSE_KEY, sent.encode()).status in {400, 422}


def test_what_cannot_be_disputed_says_why(api: ApiProcess, number: int, clinic: str) -> None:
    with clock.frozen(clock.now() - timedelta(days=31)):
        charge(f"old-{number}", account=clinic)
    empty = open_account(f"clinic:empty-{number}")
    charge(f"parked-{number}", account=empty)

    def ask(**more: object) -> Answer:
        return api.post("/v1/disputes", HOUSE_KEY, body(number, **more))

    unknown = ask(lead_id="L-unknown")
    assert (unknown.status, kind(unknown)) == (404, "unknown-lead")
    # A lead of another account is as unknown as that
    assert ask(account=empty).but_for_its_id == unknown.but_for_its_id
    nobody = ask(account="clinic:nobody")
    assert (nobody.status, kind(nobody)) == (404, "unknown-account")
    late = ask(lead_id=f"old-{number}")
    assert (late.status, kind(late)) == (409, "dispute-window-over")
    parked = ask(lead_id=f"parked-{number}", account=empty)
    assert (parked.status, kind(parked)) == (409, "lead-not-charged")
    id_ = ask().json["dispute_id"]
    assert kind(ask()) == "dispute-open"
    reject(id_)
    assert kind(ask()) == "disputed-before"


def test_a_dispute_is_withdrawn_once(api: ApiProcess, number: int, clinic: str) -> None:
    id_ = dispute(f"L-{number}", account=clinic)

    done = withdraw(api, id_, once=f"w-{number}")
    again = withdraw(api, id_, once=f"w-{number}")
    other = withdraw(api, id_)

    assert done.status == 200, done.body
    assert (done.json["state"], done.json["credits_refunded"]) == ("withdrawn", 0)
    assert (again.status, again.body) == (done.status, done.body)
    assert (other.status, kind(other)) == (409, "dispute-resolved")
    assert rows("SELECT resolved_by FROM lead_disputes WHERE id = :id", id=id_) == [
        ("api-key:house",)
    ]


def test_what_an_operator_decided_is_told(api: ApiProcess, number: int, clinic: str) -> None:
    id_ = dispute(f"L-{number}", account=clinic)
    approve(id_, amount=80, notes="half true")

    shown = api.ask(f"/v1/disputes/{id_}", HOUSE_KEY).json

    assert (shown["state"], shown["credits_refunded"], shown["notes"]) == (
        "partially_approved", 80, "half true",
    )  # fmt: skip
    assert shown["resolved_at"] is not None
    assert "resolved_by" not in shown


def test_disputes_out_of_reach_are_as_unknown_as_none(
    api: ApiProcess, number: int, clinic: str
) -> None:
    id_ = dispute(f"L-{number}", account=clinic)
    open_account(f"clinic:other-{number}")
    mine = make_key(f"d-mine-{number}", account=clinic)
    other = make_key(f"d-other-{number}", account=f"clinic:other-{number}")
    pharma = make_key(f"d-pharma-{number}", product="pharmapulse_one")

    assert api.ask(f"/v1/disputes/{id_}", mine).status == 200
    for key in (other, pharma):
        unknown = api.ask("/v1/disputes/999999999", key)
        hidden = api.ask(f"/v1/disputes/{id_}", key)
        assert (hidden.status, hidden.but_for_its_id) == (unknown.status, unknown.but_for_its_id)
        assert (hidden.status, kind(hidden)) == (404, "unknown-dispute")
        assert (
            withdraw(api, id_, key).but_for_its_id == withdraw(api, 999999999, key).but_for_its_id
        )
        opened = api.post("/v1/disputes", key, body(number))
        assert (opened.status, kind(opened)) == (404, "unknown-account")
        assert api.ask(f"/v1/accounts/{clinic}/disputes", key).status == 404
    assert rows("SELECT state FROM lead_disputes WHERE id = :id", id=id_) == [("pending",)]


@pytest.mark.parametrize("id_", ["0", "-1", "x", "9" * 19, "9" * 400, "1.5", "%00"])
def test_an_id_that_cannot_be_is_refused(api: ApiProcess, id_: str) -> None:
    answer = api.ask(f"/v1/disputes/{id_}", HOUSE_KEY)

    assert answer.status == 422
    assert [error["field"] for error in problem(answer)["errors"]] == ["dispute_id"]


def test_an_accounts_disputes_come_in_pages_newest_first(
    api: ApiProcess, number: int, clinic: str
) -> None:
    ids = [f"P-{number}-{n}" for n in range(44)]
    charge(*ids, account=clinic)
    dispute_all(ids)
    reject(dispute(f"L-{number}", account=clinic))
    path = f"/v1/accounts/{quote(clinic)}/disputes"

    sizes, seen, after = [], [], ""
    while True:
        shown = api.ask(f"{path}?{after}", HOUSE_KEY).json
        sizes.append(len(shown["disputes"]))
        seen += [entry["dispute_id"] for entry in shown["disputes"]]
        if shown["next"] is None:
            break
        after = f"after={shown['next']}"

    assert sizes == [20, 20, 5]
    assert seen == sorted(set(seen), reverse=True)
    rejected = api.ask(f"{path}?state=rejected", HOUSE_KEY).json["disputes"]
    assert [entry["lead_id"] for entry in rejected] == [f"L-{number}"]
    for query, field in (("state=gone", "state"), ("after=0", "after"), ("stat=pending", "stat")):
        answer = api.ask(f"{path}?{query}", HOUSE_KEY)
        assert answer.status == 422
        assert [error["field"] for error in problem(answer)["errors"]] == [field]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/disputes", "disputes:write"),
        ("POST", "/v1/disputes/1/withdraw", "disputes:write"),
        ("GET", "/v1/disputes/1", "disputes:read"),
        ("GET", "/v1/accounts/clinic:x/disputes", "disputes:read"),
    ],
)
def test_each_route_needs_its_scope(api: ApiProcess, method: str, path: str, scope: str) -> None:
    without = make_key(
        f"no-{uuid4()}", product="clinic_leads", scopes=sorted(set(api_keys.SCOPES) - {scope})
    )
    answer = api.ask(path, without, method=method)

    assert answer.status == 403
    assert scope in problem(answer)["detail"]


def test_the_document_tells_of_the_routes(api: ApiProcess) -> None:
    paths = api.get("/openapi.json").json["paths"]

    assert paths["/v1/disputes"]["post"]["responses"].keys() >= {"201", "404", "409", "422"}
    assert paths["/v1/disputes/{dispute_id}"]["get"]["security"] == [{"api_key": ["disputes:read"]}]
    listed = paths["/v1/accounts/{ref}/disputes"]["get"]["parameters"]
    assert {p["name"] for p in listed if p["in"] == "query"} == {"after", "state"}
