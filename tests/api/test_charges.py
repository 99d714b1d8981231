"""`POST /v1/charges`: credit spent in one step, once for a key, never more than there is."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import create_engine

import settings
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.api.given_spending import (
    assert_clean,
    charge,
    fields,
    figures,
    kind,
    make_key,
    on_record,
    place,
)
from tests.billing.given import open_account, rows

pytestmark = pytest.mark.usefixtures("house")


@pytest.fixture
def clinic(number: int) -> str:
    """An account with 100 credits."""
    return open_account(f"clinic:{number}", credits_=100)


def test_a_charge_takes_credit_at_once_and_stands_in_the_ledger(
    api: ApiProcess, clinic: str
) -> None:
    answer = charge(api, clinic, 30, description="3 pages of text", once=f"c-{clinic}")

    assert answer.status == 201, answer.body
    shown = answer.json
    assert shown == {
        "transaction_id": shown["transaction_id"], "account": clinic, "amount": 30,
        "balance": 70, "held": 0, "available": 70,
    }  # fmt: skip
    assert rows(
        "SELECT amount, kind, idempotency_key, actor, description FROM credit_transactions"
        " WHERE id = :id",
        id=shown["transaction_id"],
    ) == [(-30, "usage", f"api:house:c-{clinic}:charge", "api-key:house", "3 pages of text")]


def test_the_same_request_again_is_the_same_charge(api: ApiProcess, clinic: str) -> None:
    first, again = (charge(api, clinic, 30, once=f"c-{clinic}") for _ in range(2))

    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert on_record(clinic) == (70, 0, 1)


def test_a_key_that_is_the_hash_of_another_one_is_another_charge(
    api: ApiProcess, clinic: str
) -> None:
    long = f"{clinic}-{'x' * 230}"
    hashed = f"sha256-{sha256(long.encode()).hexdigest()}"

    answers = [charge(api, clinic, 10 + n, once=once) for n, once in enumerate((long, hashed))]

    assert [answer.status for answer in answers] == [201, 201]
    assert on_record(clinic) == (79, 0, 2)


def test_a_key_with_the_name_of_another_gets_none_of_its_answers(
    api: ApiProcess, clinic: str
) -> None:
    # Given a charge by the key `house` of the environment
    first = charge(api, clinic, 30, once=f"n-{clinic}")
    assert first.status == 201
    # When a created key of the same name, for another product and for this one, asks the same
    others = make_key("house", product="pharmapulse_one")
    assert kind(charge(api, clinic, 30, once=f"n-{clinic}", key=others)) == "unknown-account"
    _as_owner("UPDATE api_keys SET product = 'clinic_leads' WHERE name = 'house'")
    own = charge(api, clinic, 30, once=f"n-{clinic}", key=others)
    # Then it is a request of its own, and the log tells the two apart
    assert own.status == 201
    assert "idempotent-replayed" not in own.headers
    assert on_record(clinic) == (40, 0, 2)
    [[key_id]] = rows("SELECT id FROM api_keys WHERE name = 'house'")
    actors = rows(
        "SELECT DISTINCT actor FROM credit_transactions WHERE idempotency_key LIKE :key",
        key=f"api:%:n-{clinic}:charge",
    )
    assert set(actors) == {(f"api-key:house#{key_id}",), ("api-key:house",)}
    # And once it sees something else, an answer of before is not repeated
    _as_owner("UPDATE api_keys SET product = 'pharmapulse_one' WHERE name = 'house'")
    late = charge(api, clinic, 30, once=f"n-{clinic}", key=others)
    assert (late.status, kind(late)) == (403, "out-of-reach")


def test_another_request_under_its_key_is_a_conflict(api: ApiProcess, clinic: str) -> None:
    charge(api, clinic, 30, once=f"c-{clinic}")
    for other in (
        charge(api, clinic, 31, once=f"c-{clinic}"),
        charge(api, clinic, 30, description="other", once=f"c-{clinic}"),
        place(api, clinic, 30, once=f"c-{clinic}"),
    ):
        assert (other.status, kind(other)) == (409, "idempotency-conflict")
    assert on_record(clinic) == (70, 0, 1)


def test_more_than_is_available_is_refused_with_the_figures(api: ApiProcess, clinic: str) -> None:
    place(api, clinic, 40)

    answer = charge(api, clinic, 61, once=f"c-{clinic}")

    assert (answer.status, kind(answer)) == (402, "not-enough-credit")
    shown = problem(answer)
    assert {name: shown[name] for name in ("needed", "balance", "held", "available")} == {
        "needed": 61, "balance": 100, "held": 40, "available": 60,
    }  # fmt: skip
    assert on_record(clinic) == (100, 40, 0)
    # The key is like new: the same request works once there is credit, and so does another
    assert figures(charge(api, clinic, 60, once=f"c-{clinic}")) == (40, 40, 0)


def test_a_charge_may_use_the_overdraft_and_not_pass_it(api: ApiProcess, number: int) -> None:
    ref = open_account(f"clinic:{number}", credits_=10, overdraft_limit=20)

    assert charge(api, ref, 31).status == 402
    assert figures(charge(api, ref, 30)) == (-20, 0, 0)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        *(({"amount": value}, "amount") for value in (0, -5, True, 1.0, "5", None, 10**12 + 1)),
        ({"amount": 2**63}, "amount"),
        ({"account": 42}, "account"),
        ({"account": "clinic:\u0000"}, "account"),
        ({"description": "x" * 1_001}, "description"),
        ({"description": "a\u0000"}, "description"),
        ({"description": None}, "description"),
        ({"kind": "usage"}, "kind"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_field_that_makes_no_sense_is_refused_by_name(
    api: ApiProcess, clinic: str, more: dict[str, Any], field: str
) -> None:
    body = {"account": clinic, "amount": 5, **more}

    assert fields(api.post("/v1/charges", HOUSE_KEY, body)) == [field]
    assert on_record(clinic) == (100, 0, 0)


@pytest.mark.parametrize("more", ['"amount": 50', '"AMOUNT": 1, "amoun\\u0074": 50'])
def test_an_amount_that_is_given_twice_is_not_guessed_at(
    api: ApiProcess, clinic: str, more: str
) -> None:
    body = f'{{"account": "{clinic}", "amount": 5, {more}}}'.encode()
    headers = [
        ("authorization", f"Bearer {HOUSE_KEY}"),
        ("idempotency-key", clinic),
        ("content-type", "application/json"),
    ]

    answer = api.request("POST", "/v1/charges", body, headers)

    assert (answer.status, problem(answer)["detail"]) == (400, "the body has the same field twice")
    assert on_record(clinic) == (100, 0, 0)


def test_an_account_out_of_reach_is_as_unknown_as_none(
    api: ApiProcess, number: int, clinic: str
) -> None:
    open_account(f"clinic:other-{number}", credits_=100)
    mine = make_key(f"c-mine-{number}", account=clinic)
    pharma = make_key(f"c-pharma-{number}", product="pharmapulse_one")

    assert charge(api, clinic, key=mine).status == 201
    hidden, unknown = (
        charge(api, ref, key=mine) for ref in (f"clinic:other-{number}", "clinic:nobody")
    )
    assert (hidden.status, kind(hidden)) == (404, "unknown-account")
    assert hidden.but_for_its_id == unknown.but_for_its_id
    assert charge(api, clinic, key=pharma).but_for_its_id == unknown.but_for_its_id
    assert on_record(f"clinic:other-{number}") == (100, 0, 0)


def test_it_needs_its_scope(api: ApiProcess, number: int, clinic: str) -> None:
    reader = make_key(f"c-reader-{number}", account=clinic, scopes=["credits:read"])

    answer = charge(api, clinic, key=reader)

    assert answer.status == 403
    assert "credits:spend" in problem(answer)["detail"]


def test_two_callers_may_choose_the_same_key(api: ApiProcess, number: int, clinic: str) -> None:
    keys = [make_key(f"c-{name}-{number}", account=clinic) for name in "ab"]

    ids = {charge(api, clinic, 10, key=key, once="same").json["transaction_id"] for key in keys}

    assert len(ids) == 2
    assert on_record(clinic) == (80, 0, 2)


def test_one_request_sixteen_times_at_once_is_one_charge(api: ApiProcess, clinic: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: charge(api, clinic, 30, once=f"c-{clinic}"), range(16)))

    assert {(a.status, a.body) for a in answers} == {(201, answers[0].body)}
    assert on_record(clinic) == (70, 0, 1)
    assert_clean(clinic)


def _as_owner(statement: str) -> None:
    """What no process may do: keys are changed by the owner of the tables alone."""
    engine = create_engine(settings.get().database_owner_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
