"""`/v1/accounts`: opening an account over HTTP, and what it has."""

from datetime import datetime
from typing import Any

import pytest

import clock
from billing import catalog
from billing.access import keys as api_keys
from billing.credit import holds
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import open_account, rows

pytestmark = pytest.mark.usefixtures("house")

NOBODY = "/v1/accounts/clinic:nobody-opened-it"


def make_key(name: str, **more: object) -> str:
    with transaction(Role.OWNER) as session:
        return api_keys.create(session, name=name, **more)  # type: ignore[arg-type]


def clinic(number: int, **more: object) -> dict[str, Any]:
    return {
        "ref": f"clinic:{number}", "name": "City Clinic", "product": "clinic_leads", **more,
    }  # fmt: skip


def test_an_account_is_opened_and_told(api: ApiProcess, number: int) -> None:
    before = clock.now()

    answer = api.post(
        "/v1/accounts", HOUSE_KEY,
        clinic(number, timezone="Europe/Berlin", overdraft_limit=50, gstin="27ABCDE1234F1Z0"),
    )  # fmt: skip

    assert answer.status == 201
    shown = answer.json
    assert before <= datetime.fromisoformat(shown["created_at"]) <= clock.now()
    assert shown == {
        "account": f"clinic:{number}", "name": "City Clinic", "product": "clinic_leads",
        "timezone": "Europe/Berlin", "balance": 0, "held": 0, "available": 50,
        "overdraft_limit": 50, "alert_level": "exhausted", "low_balance": 500, "state_code": "27",
        "gstin": "27ABCDE1234F1Z0", "created_at": shown["created_at"],
    }  # fmt: skip
    assert api.ask(f"/v1/accounts/clinic:{number}", HOUSE_KEY).json == shown
    assert rows(
        "SELECT action, actor, door FROM billing_audit_log WHERE subject = :s ORDER BY id",
        s=f"account:clinic:{number}",
    ) == [
        ("account.opened", "api-key:house", "api"),
        ("account.overdraft_set", "api-key:house", "api"),
    ]


def test_what_is_left_out_is_the_houses(api: ApiProcess, number: int) -> None:
    shown = api.post("/v1/accounts", HOUSE_KEY, clinic(number, timezone=None)).json

    assert (shown["timezone"], shown["overdraft_limit"]) == ("Asia/Kolkata", 0)
    assert (shown["state_code"], shown["gstin"]) == (None, None)


@pytest.mark.parametrize("colon", [":", "%3A", "%3a"])
def test_what_an_account_has_is_told_however_its_colon_is_sent(
    api: ApiProcess, number: int, colon: str
) -> None:
    account = open_account(f"clinic:{number}", credits_=1_000, overdraft_limit=50)
    with transaction() as session:
        holds.place(
            session, account=account, amount=300, idempotency_key=f"h-{number}", actor="test",
            expires_in=None,
        )  # fmt: skip

    shown = api.ask(f"/v1/accounts/clinic{colon}{number}", HOUSE_KEY).json

    assert [shown[f] for f in ("balance", "held", "available", "alert_level")] == [
        1_000, 300, 750, "ok",
    ]  # fmt: skip


def test_a_reference_that_is_taken_is_a_409(api: ApiProcess, number: int) -> None:
    open_account(f"clinic:{number}")

    for _ in range(2):  # the refusal is no stored answer
        answer = api.post(
            "/v1/accounts", HOUSE_KEY, clinic(number, name="Other"), once=f"t-{number}"
        )
        assert problem(answer)["type"] == "urn:problem-type:billing:account-exists"
        assert answer.status == 409
    assert api.ask(f"/v1/accounts/clinic:{number}", HOUSE_KEY).json["name"] == "City Clinic"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"ref": "clinic42"}, "ref"),
        ({"ref": "clinic:\x00"}, "ref"),
        ({"ref": None}, "ref"),
        ({"name": ""}, "name"),
        ({"name": 42}, "name"),
        ({"product": "leads"}, "product"),
        ({"timezone": "Kolkata"}, "timezone"),
        ({"overdraft_limit": -1}, "overdraft_limit"),
        ({"overdraft_limit": 10**13}, "overdraft_limit"),
        ({"overdraft_limit": "50"}, "overdraft_limit"),
        ({"overdraft_limit": 1.0}, "overdraft_limit"),
        ({"overdraft_limit": True}, "overdraft_limit"),
        ({"state_code": "28"}, "state_code"),
        ({"state_code": 27}, "state_code"),
        ({"gstin": "27ABCDE1234F1Z1"}, "gstin"),
        ({"gstin": "27ABCDE1234F1Z0", "state_code": "29"}, "gstin"),
        ({"overdraft": 50}, "overdraft"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_opened(
    api: ApiProcess, number: int, wrong: dict[str, Any], field: str
) -> None:
    answer = api.post("/v1/accounts", HOUSE_KEY, clinic(number, **wrong))

    assert answer.status == 422
    shown = problem(answer)
    assert [error["field"] for error in shown["errors"]] == [field]
    assert shown["detail"] == f"{field}: {shown['errors'][0]['detail']}"
    assert shown["type"] == "urn:problem-type:billing:invalid-fields"
    assert api.ask(f"/v1/accounts/clinic:{number}", HOUSE_KEY).status == 404


def test_a_key_for_a_product_opens_accounts_of_it_alone(api: ApiProcess, number: int) -> None:
    key = make_key(f"leads-{number}", product="clinic_leads")

    assert api.post("/v1/accounts", key, clinic(number)).status == 201
    answer = api.post("/v1/accounts", key, clinic(number, ref="ai:1", product="pharmapulse_one"))

    assert answer.status == 422
    assert problem(answer)["errors"] == [
        {"field": "product", "detail": "must be clinic_leads, the product of this key"}
    ]


def test_a_key_for_one_account_opens_none(api: ApiProcess, number: int) -> None:
    key = make_key(f"one-{number}", account=open_account(f"clinic:{number}"))

    answer = api.post("/v1/accounts", key, clinic(number, ref=f"clinic:b-{number}"))

    assert answer.status == 403
    assert problem(answer)["type"] == "urn:problem-type:billing:out-of-reach"
    assert api.ask(f"/v1/accounts/clinic:b-{number}", HOUSE_KEY).status == 404


@pytest.mark.parametrize("limit", [0, 50, 10**9])
def test_a_platform_cannot_give_itself_credit_without_the_scope_for_it(
    api: ApiProcess, number: int, limit: int
) -> None:
    # Given keys as a platform has them: of today's default, and for opening accounts alone
    keys = [
        make_key(f"platform-{number}", product="clinic_leads"),
        make_key(f"opener-{number}", product="clinic_leads", scopes=["accounts:write"]),
    ]
    for key in keys:
        answer = api.post("/v1/accounts", key, clinic(number, overdraft_limit=limit))
        # Then the field is refused, and nothing is opened
        assert answer.status == 403
        assert problem(answer)["type"] == "urn:problem-type:billing:missing-scope"
        assert "accounts:limits" in problem(answer)["detail"]
        assert 'scope="accounts:limits"' in answer.headers["www-authenticate"]
        assert api.ask(f"/v1/accounts/clinic:{number}", HOUSE_KEY).status == 404
    # And without the field the account is opened
    assert api.post("/v1/accounts", keys[0], clinic(number)).json["overdraft_limit"] == 0


def test_a_limit_that_a_key_may_set_ends_at_the_ceiling_of_the_product(
    api: ApiProcess, number: int
) -> None:
    scopes = ["accounts:write", "accounts:limits"]
    key = make_key(f"bank-{number}", product="clinic_leads", scopes=scopes)
    ceiling = catalog.get().products["clinic_leads"].max_overdraft_credits

    refused = api.post("/v1/accounts", key, clinic(number, overdraft_limit=ceiling + 1))
    opened = api.post("/v1/accounts", key, clinic(number, overdraft_limit=ceiling))

    assert refused.status == 422
    [error] = problem(refused)["errors"]
    assert error["field"] == "overdraft_limit"
    assert f"at most {ceiling} credits" in error["detail"]
    assert opened.json["available"] == ceiling
    assert rows(
        "SELECT actor, before ->> 'overdraft_limit', after ->> 'overdraft_limit'"
        " FROM billing_audit_log WHERE subject = :s AND action = 'account.overdraft_set'",
        s=f"account:clinic:{number}",
    ) == [(f"api-key:bank-{number}", "0", str(ceiling))]


@pytest.mark.parametrize("what", ["", "/transactions", "/payments"])
def test_what_is_out_of_reach_is_as_unknown_as_what_never_was(
    api: ApiProcess, number: int, what: str
) -> None:
    # Given an account, and keys that see it, another one, and another product
    mine = open_account(f"clinic:{number}")
    other = open_account(f"clinic:b-{number}")
    reach: dict[str, dict[str, str]] = {
        "mine": {"account": mine}, "leads": {"product": "clinic_leads"},
        "other": {"account": other}, "pharma": {"product": "pharmapulse_one"},
    }  # fmt: skip
    keys = {name: make_key(f"{name}-{number}", **more) for name, more in reach.items()}
    # Then those in reach see it
    for name in ("mine", "leads"):
        assert api.ask(f"/v1/accounts/{mine}{what}", keys[name]).status == 200
    # And to the others it is as one that nobody opened
    for name in ("other", "pharma"):
        hidden = api.ask(f"/v1/accounts/{mine}{what}", keys[name])
        unknown = api.ask(NOBODY + what, keys[name])
        assert (hidden.status, hidden.but_for_its_id) == (unknown.status, unknown.but_for_its_id)
        assert hidden.headers.keys() == unknown.headers.keys()
        assert problem(hidden)["type"] == "urn:problem-type:billing:unknown-account"
        assert hidden.status == 404


@pytest.mark.parametrize(
    ("method", "what", "scope"),
    [
        ("POST", "", "accounts:write"),
        ("GET", "/{ref}", "accounts:read"),
        ("GET", "/{ref}/transactions", "accounts:read"),
        ("GET", "/{ref}/payments", "payments:read"),
    ],
)
def test_each_route_needs_its_scope(
    api: ApiProcess, number: int, method: str, what: str, scope: str
) -> None:
    open_account(f"clinic:{number}")
    without = make_key(
        f"without-{number}", product="clinic_leads", scopes=sorted(set(api_keys.SCOPES) - {scope})
    )

    answer = api.ask("/v1/accounts" + what.format(ref=f"clinic:{number}"), without, method=method)

    assert answer.status == 403
    assert scope in problem(answer)["detail"]


@pytest.mark.parametrize("ref", ["x" * 101, "clinic:%00", "clinic:%0A", "%20"])
def test_a_reference_that_cannot_be_recorded_is_refused_by_name(api: ApiProcess, ref: str) -> None:
    answer = api.ask(f"/v1/accounts/{ref}", HOUSE_KEY)

    assert answer.status == 422
    assert problem(answer)["errors"][0]["field"] == "ref"
