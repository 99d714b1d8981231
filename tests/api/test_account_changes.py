"""`PATCH /v1/accounts/{ref}`: absolute values, all or none, within what a key may change."""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from functools import partial
from typing import Any

import pytest

from billing import catalog
from billing.access import keys as api_keys
from billing.ledger.errors import InsufficientCredit
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import (
    assert_ledger_is_clean,
    at_once,
    give,
    open_account,
    post_all,
    rows,
    take,
)
from tests.billing.plans.given import PLAN, buy, open_pharmacy
from tests.server_process import Answer, Header

pytestmark = pytest.mark.usefixtures("house")

MAHARASHTRA, KARNATAKA = "27ABCDE1234F1Z0", "29ABCDE1234F1ZW"
NOBODY = "clinic:nobody-opened-it"


def make_key(name: str, **more: object) -> str:
    with transaction(Role.OWNER) as session:
        return api_keys.create(session, name=name, **more)  # type: ignore[arg-type]


def change(
    api: ApiProcess,
    ref: str,
    body: Mapping[str, Any] | bytes,
    *,
    key: str = HOUSE_KEY,
    more: Iterable[Header] = (("content-type", "application/json"),),
) -> Answer:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [("authorization", f"Bearer {key}"), *more]
    return api.request("PATCH", f"/v1/accounts/{ref}", sent, headers)


def show(api: ApiProcess, ref: str) -> dict[str, Any]:
    shown: dict[str, Any] = api.ask(f"/v1/accounts/{ref}", HOUSE_KEY).json
    return shown


def changes_of(ref: str) -> list[tuple[object, ...]]:
    """What the audit log has of an account since it was opened."""
    return list(
        rows(
            "SELECT action, before, after, actor, door FROM billing_audit_log"
            " WHERE subject = :s AND action LIKE 'account.%' AND action <> 'account.opened'"
            " ORDER BY id",
            s=f"account:{ref}",
        )
    )


def test_each_field_that_is_sent_is_set_and_the_others_stay(api: ApiProcess, number: int) -> None:
    ref = open_account(f"clinic:{number}", credits_=600)
    before = show(api, ref)
    wanted = {
        "name": "Harbour Clinic", "timezone": "Europe/Berlin", "state_code": "27",
        "gstin": MAHARASHTRA, "low_balance": 700, "overdraft_limit": 50,
    }  # fmt: skip

    answer = change(api, ref, wanted)

    assert answer.status == 200, answer.body
    assert answer.json == {**before, **wanted, "available": 650, "alert_level": "low"}
    assert show(api, ref) == answer.json
    # And one field alone leaves the rest
    assert change(api, ref, {"name": "Port Clinic"}).json == {**answer.json, "name": "Port Clinic"}
    assert_ledger_is_clean()


def test_a_change_is_on_the_audit_log_with_what_differs_and_who_asked(
    api: ApiProcess, number: int
) -> None:
    ref = open_account(f"clinic:{number}")
    by = ("api-key:house", "api")

    change(api, ref, {"name": "Port Clinic", "low_balance": 5, "overdraft_limit": 0})
    change(api, ref, {"overdraft_limit": 70})

    ceiling = catalog.get().products["clinic_leads"].max_overdraft_credits
    assert changes_of(ref) == [
        (
            "account.changed",
            {"name": "City Clinic", "low_balance": None},
            {"name": "Port Clinic", "low_balance": 5},
            *by,
        ),
        ("account.changed", {"overdraft_limit": 0}, {"overdraft_limit": 70}, *by),
        (
            "account.overdraft_set",
            {"overdraft_limit": 0},
            {"overdraft_limit": 70, "ceiling": ceiling},
            *by,
        ),
    ]


def test_a_repeat_changes_nothing_and_leaves_no_trace(api: ApiProcess, number: int) -> None:
    ref = open_account(f"clinic:{number}")
    wanted = {
        "name": "Port Clinic", "timezone": "Europe/Berlin", "gstin": MAHARASHTRA,
        "low_balance": 700, "overdraft_limit": 50,
    }  # fmt: skip
    first = change(api, ref, wanted)
    recorded = changes_of(ref)

    # Whether or not a key is sent with it, even one that another request used
    key = [("content-type", "application/json"), ("idempotency-key", f"k-{number}")]
    for more in (key, key, key[:1]):
        again = change(api, ref, wanted, more=more)
        assert (again.status, again.json) == (200, first.json)
        assert "idempotent-replayed" not in again.headers
    other = change(api, ref, {"name": "Quay Clinic"}, more=key)

    assert other.json["name"] == "Quay Clinic"
    assert changes_of(ref)[: len(recorded)] == recorded
    assert len(changes_of(ref)) == len(recorded) + 1


def test_null_removes_what_an_account_need_not_have(api: ApiProcess, number: int) -> None:
    ref = open_account(f"clinic:{number}", credits_=600)
    assert change(api, ref, {"gstin": MAHARASHTRA, "low_balance": 700}).status == 200

    answer = change(api, ref, {"gstin": None, "low_balance": None})

    assert answer.status == 200
    # The state is not of the number: it stays until it is removed as well
    fields = ("gstin", "state_code", "low_balance", "alert_level")
    assert [answer.json[f] for f in fields] == [
        None, "27", catalog.get().alerts.low_balance, "ok",
    ]  # fmt: skip
    assert change(api, ref, {"state_code": None}).json["state_code"] is None
    topics = rows(
        "SELECT topic FROM outbox_events WHERE subject = :s ORDER BY id", s=f"account:{ref}"
    )
    assert [topic for (topic,) in topics][-2:] == ["balance.low", "balance.recovered"]


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        ({}, "body", "name, timezone, state_code, gstin, low_balance, overdraft_limit"),
        ({"name": None}, "name", ""),
        ({"name": ""}, "name", "empty"),
        ({"name": "City\u202ecinilC"}, "name", "U+202E"),
        ({"name": "x" * 201}, "name", "200"),
        ({"timezone": None}, "timezone", ""),
        ({"timezone": ""}, "timezone", "IANA"),
        ({"timezone": "Kolkata"}, "timezone", "IANA"),
        ({"overdraft_limit": None}, "overdraft_limit", ""),
        ({"overdraft_limit": -1}, "overdraft_limit", "between 0"),
        ({"overdraft_limit": True}, "overdraft_limit", ""),
        ({"overdraft_limit": 10_001}, "overdraft_limit", "10000 credits, the ceiling"),
        ({"low_balance": -1}, "low_balance", "between 0"),
        ({"low_balance": 10**13}, "low_balance", "between 0"),
        ({"low_balance": "500"}, "low_balance", ""),
        ({"low_balance": 5.0}, "low_balance", ""),
        ({"state_code": "28"}, "state_code", "GST state code"),
        ({"state_code": 27}, "state_code", ""),
        ({"gstin": "27ABCDE1234F1Z1"}, "gstin", "check character"),
        ({"gstin": MAHARASHTRA, "state_code": "29"}, "gstin", "of state 29"),
        ({"product": "pharmapulse_one"}, "product", ""),
        ({"balance": 10**6}, "balance", ""),
        ({"ref": "clinic:1"}, "ref", ""),
    ],
)
def test_a_bad_field_is_named_and_none_of_the_others_is_set(
    api: ApiProcess, number: int, wrong: dict[str, Any], field: str, says: str
) -> None:
    ref = open_account(f"clinic:{number}")
    before = show(api, ref)
    good = {"name": "Port Clinic", "timezone": "Europe/Berlin"} if wrong else {}

    answer = change(api, ref, {**good, **wrong})

    assert answer.status == 422
    [error] = problem(answer)["errors"]
    assert error["field"] == field
    assert says in error["detail"]
    assert show(api, ref) == before
    assert changes_of(ref) == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b'{"name": "A"', "application/json", 400),
        (b'{"name": "A", "name": "B"}', "application/json", 400),
        (b"\xff{}", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'{"name": "A"}', "text/plain", 415),
        (b'{"name": "A"}', "application/merge-patch+json", 415),
        (b'{"name": "' + b"A" * 70_000 + b'"}', "application/json", 413),
    ],
)
def test_a_body_that_is_no_change_is_refused_as_at_any_route(
    api: ApiProcess, number: int, body: bytes, content_type: str, status: int
) -> None:
    ref = open_account(f"clinic:{number}")

    answer = change(api, ref, body, more=[("content-type", content_type)])

    assert answer.status == status
    assert problem(answer)
    assert show(api, ref)["name"] == "City Clinic"
    if status == 415:
        assert answer.headers["accept-patch"] == "application/json"  # RFC 5789, 2.2


@pytest.mark.parametrize("limit", [0, 50, 10**9])
def test_a_limit_needs_the_scope_for_limits_and_nothing_else_does(
    api: ApiProcess, number: int, limit: int
) -> None:
    ref = open_account(f"clinic:{number}")
    platform = make_key(f"platform-{number}", product="clinic_leads")  # all of today's default

    answer = change(api, ref, {"name": "Port Clinic", "overdraft_limit": limit}, key=platform)

    assert answer.status == 403
    assert problem(answer)["type"] == "urn:problem-type:billing:missing-scope"
    assert 'scope="accounts:limits"' in answer.headers["www-authenticate"]
    assert show(api, ref)["name"] == "City Clinic"
    assert change(api, ref, {"name": "Port Clinic"}, key=platform).status == 200


def test_the_route_needs_its_scope_which_reading_or_limits_are_not(
    api: ApiProcess, number: int
) -> None:
    ref = open_account(f"clinic:{number}")
    scopes = sorted(set(api_keys.SCOPES) - {"accounts:write"})
    reader = make_key(f"reader-{number}", product="clinic_leads", scopes=scopes)

    answer = change(api, ref, {"overdraft_limit": 50}, key=reader)

    assert answer.status == 403
    assert "accounts:write" in problem(answer)["detail"]
    assert change(api, ref, {"name": "A"}, key="bk_unknown").status == 401


def test_a_key_for_one_account_says_who_it_is_but_grants_itself_nothing(
    api: ApiProcess, number: int
) -> None:
    ref = open_account(f"clinic:{number}")
    key = make_key(f"own-{number}", account=ref, scopes=["accounts:write", "accounts:limits"])

    said = {"name": "Port Clinic", "gstin": MAHARASHTRA, "low_balance": 5}
    assert change(api, ref, said, key=key).status == 200

    for field, value in (("overdraft_limit", 50), ("timezone", "Europe/Berlin")):
        answer = change(api, ref, {"name": "Quay Clinic", field: value}, key=key)
        assert answer.status == 403
        assert problem(answer)["type"] == "urn:problem-type:billing:out-of-reach"
        assert field in problem(answer)["detail"]
    shown = show(api, ref)
    assert [shown[f] for f in ("name", "overdraft_limit", "timezone")] == [
        "Port Clinic", 0, "Asia/Kolkata",
    ]  # fmt: skip
    assert changes_of(ref)[-1][3] == f"api-key:own-{number}"


@pytest.mark.parametrize("body", [{"name": "Port Clinic"}, {"timezone": "Europe/Berlin"}])
def test_another_tenants_account_is_unknown(
    api: ApiProcess, number: int, body: dict[str, Any]
) -> None:
    mine, other = (open_account(f"clinic:{side}-{number}") for side in "ab")
    before = show(api, mine)
    strangers = [make_key(f"pharma-{number}", product="pharmapulse_one")]
    if "timezone" not in body:
        strangers.append(make_key(f"other-{number}", account=other))

    for key in strangers:
        hidden, unknown = change(api, mine, body, key=key), change(api, NOBODY, body, key=key)
        assert (hidden.status, hidden.but_for_its_id) == (unknown.status, unknown.but_for_its_id)
        assert problem(hidden)["type"] == "urn:problem-type:billing:unknown-account"
    assert show(api, mine) == before


def test_a_key_for_one_account_learns_nothing_of_others_by_what_it_may_not_set(
    api: ApiProcess, number: int
) -> None:
    mine, other = (open_account(f"clinic:{side}-{number}") for side in "ab")
    key = make_key(f"other-{number}", account=other)

    answers = [change(api, ref, {"timezone": "Europe/Berlin"}, key=key) for ref in (mine, NOBODY)]

    assert answers[0].status == answers[1].status == 403
    assert answers[0].but_for_its_id == answers[1].but_for_its_id


def test_a_plan_keeps_its_days_and_months_in_the_new_zone(api: ApiProcess, number: int) -> None:
    ref = open_pharmacy(f"pharmacy:{number}")
    buy(PLAN, ref=ref)
    dates = (
        "SELECT next_grant_month, next_grant_at FROM account_plans p JOIN accounts a"
        " ON a.id = p.account_id WHERE a.ref = :r"
    )
    [(month, _)] = rows(dates, r=ref)
    assert isinstance(month, date)

    for _ in range(2):
        assert change(api, ref, {"timezone": "America/New_York"}).status == 200

    [(same, begins)] = rows(dates, r=ref)
    assert same == month
    zoned = rows("SELECT CAST(:b AS timestamptz) AT TIME ZONE 'America/New_York'", b=begins)
    assert str(zoned[0][0]) == f"{month} 00:00:00"
    assert len(changes_of(ref)) == 1


def test_changes_at_once_are_each_whole_and_the_last_one_stays(
    api: ApiProcess, number: int
) -> None:
    ref = open_account(f"clinic:{number}")
    asked = [{"name": f"Clinic {n}", "low_balance": n} for n in range(8)]

    answers = at_once(*(partial(change, api, ref, body) for body in asked))

    assert all(isinstance(answer, Answer) and answer.status == 200 for answer in answers)
    shown = show(api, ref)
    assert {"name": shown["name"], "low_balance": shown["low_balance"]} in asked
    # And the audit log is one chain: each change began where the one before ended
    chain = changes_of(ref)
    state: dict[str, Any] = {"name": "City Clinic", "low_balance": None}
    for _, before, after, *_ in chain:
        assert isinstance(before, dict)
        assert isinstance(after, dict)
        assert before.items() <= state.items()
        state |= after
    assert state["name"] == shown["name"]


def test_a_change_beside_charges_loses_no_credit_and_no_alert(api: ApiProcess, number: int) -> None:
    # Given an account whose balance falls while its level and its limit change
    ref = open_account(f"clinic:{number}", credits_=1_000)

    def charge(n: int) -> object:
        try:
            return post_all(take(10, account=ref, key=f"c-{number}-{n}"))
        except InsufficientCredit as error:
            return error

    answers = at_once(
        *(partial(charge, n) for n in range(20)),
        *(partial(change, api, ref, {"low_balance": 900 + n, "timezone": zone})
          for n, zone in enumerate(["Europe/Berlin", "Asia/Dubai", "Asia/Kolkata"] * 3)),
        *(partial(change, api, ref, {"overdraft_limit": n}) for n in range(5)),
    )  # fmt: skip

    refused = [a for a in answers if not (isinstance(a, list) or getattr(a, "status", 0) == 200)]
    assert refused == []
    shown = show(api, ref)
    assert shown["balance"] == 800
    assert shown["alert_level"] == "low"
    assert_ledger_is_clean()


def test_a_higher_limit_covers_a_charge_at_once(api: ApiProcess, number: int) -> None:
    ref = open_account(f"clinic:{number}")
    charge = {"account": ref, "amount": 40}
    assert api.post("/v1/charges", HOUSE_KEY, charge).status == 402

    assert change(api, ref, {"overdraft_limit": 50}).json["available"] == 50

    assert api.post("/v1/charges", HOUSE_KEY, charge).status == 201
    # And a limit below the debt is taken: it stops further charges
    assert change(api, ref, {"overdraft_limit": 0}).json["available"] == -40
    assert api.post("/v1/charges", HOUSE_KEY, charge).status == 402
    post_all(give(40, account=ref, key=f"g-{number}"))


@pytest.mark.parametrize("ref", ["x" * 101, "clinic:%00"])
def test_a_reference_that_cannot_be_recorded_is_refused_by_name(api: ApiProcess, ref: str) -> None:
    answer = change(api, ref, {"name": "Port Clinic"})

    assert answer.status == 422
    assert problem(answer)["errors"][0]["field"] == "ref"
