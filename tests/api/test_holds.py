"""`/v1/holds`: credit set aside, then captured, voided or expired; once for each key."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

import clock
from billing.credit import holds
from billing.ledger import Kind, Posting
from db.session import transaction
from tasks import ledger as ledger_tasks
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.api.given_spending import (
    assert_clean,
    capture,
    charge,
    fields,
    figures,
    kind,
    make_key,
    on_record,
    place,
    placed,
    show,
    void,
)
from tests.billing.given import open_account, post_all, rows

pytestmark = pytest.mark.usefixtures("house")


@pytest.fixture
def clinic(number: int) -> str:
    """An account with 100 credits."""
    return open_account(f"clinic:{number}", credits_=100)


# --- the life of a hold -------------------------------------------------------------------------


def test_a_hold_sets_credit_aside_for_a_quarter_of_an_hour(api: ApiProcess, clinic: str) -> None:
    before = clock.now()

    answer = place(api, clinic, 30, description="an estimate", once=f"h-{clinic}")

    assert answer.status == 201, answer.body
    shown = answer.json
    life = datetime.fromisoformat(shown["expires_at"]) - before
    assert timedelta(0) <= life - timedelta(seconds=900) < timedelta(seconds=30)
    assert shown == {
        "hold_id": shown["hold_id"], "account": clinic, "state": "open", "amount": 30,
        "captured": 0, "transaction_id": None, "expires_at": shown["expires_at"],
        "balance": 100, "held": 30, "available": 70,
    }  # fmt: skip
    assert isinstance(shown["hold_id"], str)
    assert show(api, shown["hold_id"]).json == shown
    assert rows(
        "SELECT kind, actor, description, idempotency_key FROM holds WHERE id = :id",
        id=int(shown["hold_id"]),
    ) == [("usage", "api-key:house", "an estimate", f"api:house:h-{clinic}")]


@pytest.mark.parametrize("seconds", [1, 366 * 24 * 3600])
def test_a_hold_lives_as_long_as_was_asked_for(api: ApiProcess, clinic: str, seconds: int) -> None:
    id_ = placed(api, clinic, expires_in_seconds=seconds)

    assert rows(
        "SELECT extract(epoch FROM expires_at - created_at)::bigint FROM holds WHERE id = :id",
        id=int(id_),
    ) == [(seconds,)]


@pytest.mark.parametrize(("asked", "taken"), [(None, 30), (30, 30), (12, 12)])
def test_a_capture_charges_what_was_used_and_releases_the_rest(
    api: ApiProcess, clinic: str, asked: int | None, taken: int
) -> None:
    id_ = placed(api, clinic, 30, description="3 pages")

    answer = capture(api, id_, asked)

    assert answer.status == 200, answer.body
    shown = answer.json
    assert (shown["hold_id"], shown["account"], shown["state"]) == (id_, clinic, "captured")
    assert (shown["amount"], shown["captured"]) == (30, taken)
    assert figures(answer) == (100 - taken, 0, 100 - taken)
    assert rows(
        "SELECT amount, kind, description, actor FROM credit_transactions WHERE id = :id",
        id=shown["transaction_id"],
    ) == [(-taken, "usage", "3 pages", "api-key:house")]
    assert show(api, id_).json == shown


def test_a_void_releases_all_of_it(api: ApiProcess, clinic: str) -> None:
    id_ = placed(api, clinic)

    answer = void(api, id_)

    assert answer.status == 200, answer.body
    assert (answer.json["state"], answer.json["captured"]) == ("voided", 0)
    assert answer.json["transaction_id"] is None
    assert figures(answer) == (100, 0, 100)
    assert show(api, id_).json == answer.json


@pytest.mark.parametrize("step", ["capture", "void"])
@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_a_hold_is_finished_without_a_body_too(
    api: ApiProcess, clinic: str, step: str, content_type: str | None
) -> None:
    id_, once = placed(api, clinic), str(uuid4())
    headers = [("authorization", f"Bearer {HOUSE_KEY}"), ("idempotency-key", once)]
    headers += [("content-type", content_type)] if content_type else []

    first, again = (api.request("POST", f"/v1/holds/{id_}/{step}", b"", headers) for _ in range(2))

    assert first.status == 200, first.body
    assert (again.status, again.body) == (200, first.body)


@pytest.mark.parametrize("step", ["capture", "void"])
def test_a_body_that_is_there_is_read(api: ApiProcess, clinic: str, step: str) -> None:
    path = f"/v1/holds/{placed(api, clinic)}/{step}"

    assert api.post(path, HOUSE_KEY, b" ").status == 400
    assert api.post(path, HOUSE_KEY, b"null").status == 422
    assert fields(api.post(path, HOUSE_KEY, {"amont": 5})) == ["amont"]
    assert on_record(clinic) == (100, 30, 0)


# --- the same request again, and another one ----------------------------------------------------


def test_each_step_again_is_done_once_and_gets_the_same_answer(
    api: ApiProcess, clinic: str
) -> None:
    def twice(first: Any, again: Any) -> Any:
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["idempotent-replayed"] == "true"
        return first.json

    shown = twice(*(place(api, clinic, 30, once=f"h-{clinic}") for _ in range(2)))
    other = twice(*(place(api, clinic, 20, once=f"i-{clinic}") for _ in range(2)))
    twice(*(capture(api, shown["hold_id"], 12, once=f"c-{clinic}") for _ in range(2)))
    twice(*(void(api, other["hold_id"], once=f"v-{clinic}") for _ in range(2)))

    assert on_record(clinic) == (88, 0, 1)
    # What was answered stays the answer, whatever became of the hold
    assert place(api, clinic, 30, once=f"h-{clinic}").json == shown


def test_a_key_that_stands_for_another_request_is_a_conflict(api: ApiProcess, clinic: str) -> None:
    id_ = str(place(api, clinic, 30, once=f"h-{clinic}").json["hold_id"])
    for other in (
        place(api, clinic, 31, once=f"h-{clinic}"),
        place(api, clinic, 30, expires_in_seconds=60, once=f"h-{clinic}"),
        capture(api, id_, once=f"h-{clinic}"),
        void(api, id_, once=f"h-{clinic}"),
    ):
        assert (other.status, kind(other)) == (409, "idempotency-conflict")
    capture(api, id_, 12, once=f"c-{clinic}")
    other = capture(api, id_, 13, once=f"c-{clinic}")
    assert (other.status, kind(other)) == (409, "idempotency-conflict")
    assert on_record(clinic) == (88, 0, 1)


def test_a_hold_that_ended_otherwise_says_how(api: ApiProcess, clinic: str) -> None:
    captured, voided = placed(api, clinic), placed(api, clinic)
    capture(api, captured)
    void(api, voided)

    for finish, id_, state in (
        (capture, captured, "captured"),
        (void, captured, "captured"),
        (capture, voided, "voided"),
        (void, voided, "voided"),
    ):
        answer = finish(api, id_)
        assert (answer.status, kind(answer)) == (409, "hold-finished")
        assert problem(answer)["state"] == state
    assert on_record(clinic) == (70, 0, 1)


def test_two_keys_that_race_for_one_hold_have_one_winner(api: ApiProcess, clinic: str) -> None:
    for _ in range(5):
        id_ = placed(api, clinic, 10)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n, id_=id_: (capture, void)[n % 2](api, id_), range(8)))

        [winner] = [a for a in answers if a.status == 200]
        others = [problem(a) for a in answers if a is not winner]
        assert {(o["status"], o["state"]) for o in others} == {(409, winner.json["state"])}
    balance, held, charges = on_record(clinic)
    assert (balance, held) == (100 - 10 * int(str(charges)), 0)
    assert_clean(clinic)


# --- time ---------------------------------------------------------------------------------------


def test_after_its_time_a_hold_cannot_be_finished_even_before_the_sweep(
    api: ApiProcess, clinic: str
) -> None:
    id_ = placed(api, clinic, expires_in_seconds=1)
    time.sleep(1.05)

    for answer in (capture(api, id_), void(api, id_)):
        assert (answer.status, kind(answer)) == (409, "hold-finished")
        assert problem(answer)["state"] == "expired"
    assert show(api, id_).json["state"] == "expired"
    assert on_record(clinic)[2] == 0


def test_a_hold_whose_time_is_up_frees_its_credit_by_itself(api: ApiProcess, clinic: str) -> None:
    # Given a hold of all there is
    id_ = placed(api, clinic, 100)
    assert charge(api, clinic, 100).status == 402
    # When its time is up, and beat ticks
    with clock.frozen(clock.now() + timedelta(seconds=901)):
        ledger_tasks.expire()
    # Then the credit is free, and the hold is over
    assert figures(show(api, id_)) == (100, 0, 100)
    assert show(api, id_).json["state"] == "expired"
    assert problem(capture(api, id_))["state"] == "expired"
    assert charge(api, clinic, 100).status == 201
    assert_clean(clinic)


# --- what is refused ----------------------------------------------------------------------------


def test_more_than_is_available_is_refused_with_the_figures(api: ApiProcess, clinic: str) -> None:
    placed(api, clinic, 40)

    answer = place(api, clinic, 61)

    assert (answer.status, kind(answer)) == (402, "not-enough-credit")
    shown = problem(answer)
    assert {name: shown[name] for name in ("needed", "balance", "held", "available")} == {
        "needed": 61, "balance": 100, "held": 40, "available": 60,
    }  # fmt: skip
    assert on_record(clinic) == (100, 40, 0)


def test_a_capture_that_a_correction_left_no_credit_for_is_refused_and_the_hold_stays(
    api: ApiProcess, clinic: str
) -> None:
    id_ = placed(api, clinic, 30)
    post_all(Posting(clinic, -90, Kind.ADJUSTMENT, f"wrong-{clinic}", "test"))

    answer = capture(api, id_)

    assert (answer.status, kind(answer)) == (402, "not-enough-credit")
    shown = problem(answer)
    assert (shown["needed"], shown["balance"], shown["held"], shown["available"]) == (
        30,
        10,
        30,
        10,
    )
    assert show(api, id_).json["state"] == "open"
    assert figures(capture(api, id_, 10)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        *(({"amount": value}, "amount") for value in (0, -5, True, 1.0, "5", None, 10**12 + 1)),
        *(
            ({"expires_in_seconds": value}, "expires_in_seconds")
            for value in (0, -1, 1.5, "60", None, True, 366 * 24 * 3600 + 1, 2**63)
        ),
        ({"account": ""}, "account"),
        ({"description": "a\u0000"}, "description"),
        ({"expires_in": 60}, "expires_in"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_field_that_makes_no_sense_is_refused_by_name(
    api: ApiProcess, clinic: str, more: dict[str, Any], field: str
) -> None:
    body = {"account": clinic, "amount": 5, **more}

    assert fields(api.post("/v1/holds", HOUSE_KEY, body)) == [field]
    assert on_record(clinic) == (100, 0, 0)


@pytest.mark.parametrize("amount", [31, 0, -1, True, 1.0, "5", 10**12 + 1, 2**63])
def test_a_capture_of_another_amount_than_can_be_names_it(
    api: ApiProcess, clinic: str, amount: Any
) -> None:
    id_ = placed(api, clinic, 30)

    assert fields(capture(api, id_, amount)) == ["amount"]
    assert on_record(clinic) == (100, 30, 0)


@pytest.mark.parametrize(
    "id_",
    ["0", "-1", "x", "1.5", "%00", "%FF", "%20", "+1", "01", "1%0A", "%D9%A1", str(2**63),
     "9" * 400, "999999999"],
)  # fmt: skip
def test_an_id_that_no_hold_has_is_unknown(api: ApiProcess, id_: str) -> None:
    for answer in (show(api, id_), capture(api, id_), void(api, id_)):
        assert (answer.status, kind(answer)) == (404, "unknown-hold")


def test_a_hold_out_of_reach_is_as_unknown_as_none(
    api: ApiProcess, number: int, clinic: str
) -> None:
    id_ = placed(api, clinic)
    open_account(f"clinic:other-{number}", credits_=100)
    mine = make_key(f"h-mine-{number}", account=clinic)
    other = make_key(f"h-other-{number}", account=f"clinic:other-{number}")
    pharma = make_key(f"h-pharma-{number}", product="pharmapulse_one")

    assert show(api, id_, key=mine).status == 200
    for key in (other, pharma):
        for ask in (show, capture, void):
            hidden, unknown = ask(api, id_, key=key), ask(api, "999999999", key=key)
            assert (hidden.status, kind(hidden)) == (404, "unknown-hold")
            assert hidden.but_for_its_id == unknown.but_for_its_id
        answer = place(api, clinic, key=key)
        assert (answer.status, kind(answer)) == (404, "unknown-account")
    assert on_record(clinic) == (100, 30, 0)
    assert void(api, id_, key=mine).status == 200


def test_credit_that_is_kept_for_a_returned_payment_is_no_hold_of_the_callers(
    api: ApiProcess, clinic: str
) -> None:
    with transaction() as session:
        kept = holds.reserve(
            session, account=clinic, at_most=30, idempotency_key=f"refund:{clinic}",
            actor="test", kind=Kind.CLAWBACK,
        )  # fmt: skip
    assert kept is not None

    for ask in (show, capture, void):
        answer = ask(api, str(kept.id))
        assert (answer.status, kind(answer)) == (404, "unknown-hold")
    assert on_record(clinic) == (100, 30, 0)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/holds", "credits:spend"),
        ("POST", "/v1/holds/1/capture", "credits:spend"),
        ("POST", "/v1/holds/1/void", "credits:spend"),
        ("GET", "/v1/holds/1", "credits:read"),
    ],
)
def test_each_route_needs_its_scope(
    api: ApiProcess, number: int, clinic: str, method: str, path: str, scope: str
) -> None:
    other = {"credits:spend": "credits:read", "credits:read": "credits:spend"}[scope]
    without = make_key(f"h-without-{uuid4()}", account=clinic, scopes=[other])

    answer = api.ask(path, without, method=method)

    assert answer.status == 403
    assert scope in problem(answer)["detail"]


def test_the_document_tells_of_the_routes(api: ApiProcess) -> None:
    document = api.get("/openapi.json").json
    paths = document["paths"]

    for path, status in (
        ("/v1/holds", "201"), ("/v1/holds/{hold_id}/capture", "200"), ("/v1/charges", "201"),
    ):  # fmt: skip
        assert paths[path]["post"]["responses"].keys() >= {status, "402", "404", "409", "422"}
    assert "402" not in paths["/v1/holds/{hold_id}/void"]["post"]["responses"]
    assert paths["/v1/holds/{hold_id}"]["get"]["security"] == [{"api_key": ["credits:read"]}]
