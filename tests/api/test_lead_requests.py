"""`POST /v1/leads`: a lead by the API is recorded, answered, and charged as by the other doors."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import clock
from api.leads import OTHERWISE_ON_RECORD
from billing.leads.status import CANDIDATES_AT_ONCE
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.api.given_spending import assert_clean, fields, kind, make_key
from tests.api.test_leads import ask
from tests.billing.given import balance, open_account, rows
from tests.server_process import Answer
from tests.tasks.given import deliver, lead_event, work

pytestmark = pytest.mark.usefixtures("house")

RS_6000 = 600_000  # costs 180 credits
DEAD_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def clinic(number: int) -> str:
    """An account with 1,000 credits."""
    return open_account(f"clinic:{number}", credits_=1_000)


def send(
    api: ApiProcess, lead_id: str, account: str, *, key: str = HOUSE_KEY, once: str | None = None,
    **more: Any,
) -> Answer:  # fmt: skip
    body: Mapping[str, Any] = {
        "lead_id": lead_id, "account": account, "package_price_paise": RS_6000, **more,
    }  # fmt: skip
    return api.post("/v1/leads", key, body, once=once)


def inbox(lead_id: str) -> list[tuple[Any, ...]]:
    """Source, state and outcome of each delivery about a lead, oldest first."""
    return list(
        rows(
            "SELECT source, state, outcome FROM inbound_events"
            " WHERE position(convert_to(:quoted, 'UTF8') in body) > 0 ORDER BY id",
            quoted=json.dumps(lead_id),
        )
    )


def charges(lead_id: str) -> list[tuple[Any, ...]]:
    """Amount and actor of what was taken for a lead."""
    return list(
        rows("SELECT amount, actor FROM credit_transactions WHERE lead_id = :id", id=lead_id)
    )


def test_a_lead_is_answered_pending_at_its_price_and_charged_by_a_worker(
    api: ApiProcess, number: int, clinic: str
) -> None:
    lead = f"R-{number}"

    answer = send(api, lead, clinic, source="google-ads", occurred_at="2026-11-20T13:30:00+05:30")

    assert answer.status == 202, answer.body
    shown = answer.json
    assert shown == {
        "lead_id": lead, "account": clinic, "state": "pending", "credits": 180,
        "package_price_paise": RS_6000, "conflicts": 0, "occurred_at": "2026-11-20T08:00:00Z",
        "created_at": None, "updated_at": shown["updated_at"], "reason": None,
    }  # fmt: skip
    # And it is what a GET shows from the same moment on
    assert ask(api, lead).json == shown
    assert inbox(lead) == [("api_leads", "pending", None)]

    work("api_leads")

    charged = ask(api, lead).json
    assert (charged["state"], charged["credits"]) == ("charged", 180)
    assert charged["occurred_at"] == "2026-11-20T08:00:00Z"
    assert charges(lead) == [(-180, "api-key:house")]
    assert rows("SELECT source FROM lead_charges WHERE lead_id = :id", id=lead) == [("google-ads",)]
    assert inbox(lead) == [("api_leads", "done", "charged")]
    assert_clean(clinic)


def test_each_key_is_the_actor_of_what_it_asked_for_in_one_batch(
    api: ApiProcess, number: int, clinic: str
) -> None:
    names = [f"r-{letter}-{number}" for letter in "ab"]
    for name in names:
        send(api, f"R-{name}", clinic, key=make_key(name, product="clinic_leads"))

    work("api_leads")

    assert [charges(f"R-{name}") for name in names] == [[(-180, f"api-key:{n}")] for n in names]


def test_a_lead_without_a_time_happened_when_it_was_asked_for(
    api: ApiProcess, number: int, clinic: str
) -> None:
    before = clock.now()
    send(api, f"R-{number}", clinic)
    after = clock.now()

    work("api_leads")

    happened = datetime.fromisoformat(ask(api, f"R-{number}").json["occurred_at"])
    assert before <= happened <= after


def test_a_time_ahead_counts_as_the_time_of_the_request(
    api: ApiProcess, number: int, clinic: str
) -> None:
    ahead = (clock.now() + timedelta(days=400)).isoformat()
    assert send(api, f"R-{number}", clinic, occurred_at=ahead).status == 202

    work("api_leads")

    happened = datetime.fromisoformat(ask(api, f"R-{number}").json["occurred_at"])
    assert happened <= clock.now()


def test_the_same_request_again_is_the_same_delivery_and_answer(
    api: ApiProcess, number: int, clinic: str
) -> None:
    first = send(api, f"R-{number}", clinic, once=f"r-{number}")
    work("api_leads")
    again = send(api, f"R-{number}", clinic, once=f"r-{number}")

    assert (again.status, again.body) == (202, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert inbox(f"R-{number}") == [("api_leads", "done", "charged")]


def test_a_lead_under_another_key_or_by_another_door_is_charged_once_and_shown_as_on_record(
    api: ApiProcess, number: int, clinic: str
) -> None:
    lead = f"R-{number}"
    send(api, lead, clinic)
    deliver(lead_event(lead, account=clinic))
    work("api_leads")
    work("leads")

    again = send(api, lead, clinic)
    work("api_leads")

    assert again.status == 202
    assert again.json == ask(api, lead).json
    assert (again.json["state"], again.json["conflicts"]) == ("charged", 0)
    assert [row[2] for row in inbox(lead)] == ["charged", "repeated", "repeated"]
    assert charges(lead) == [(-180, "api-key:house")]


def test_one_lead_twenty_times_at_once_is_charged_once(
    api: ApiProcess, number: int, clinic: str
) -> None:
    with ThreadPoolExecutor(20) as pool:
        keys = [f"r-{number}-{n % 10}" for n in range(20)]  # each key twice
        answers = list(pool.map(lambda k: send(api, f"R-{number}", clinic, once=k), keys))

    assert [answer.status for answer in answers] == [202] * 20
    assert len(inbox(f"R-{number}")) == 10
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(work, "api_leads")

    assert charges(f"R-{number}") == [(-180, "api-key:house")]
    assert sorted(row[2] for row in inbox(f"R-{number}")) == ["charged", *["repeated"] * 9]
    assert_clean(clinic)


def test_a_lead_that_is_not_covered_is_parked(api: ApiProcess, number: int) -> None:
    poor = open_account(f"clinic:{number}")
    send(api, f"R-{number}", poor)
    work("api_leads")

    assert send(api, f"R-{number}", poor).json["state"] == "parked"
    assert charges(f"R-{number}") == []


@pytest.mark.parametrize("change", ["account", "price"])
def test_a_request_at_odds_with_the_record_is_told_so_and_counts_as_a_conflict(
    api: ApiProcess, number: int, clinic: str, change: str
) -> None:
    lead = f"R-{number}"
    other = open_account(f"clinic:second-{number}", credits_=1_000)
    send(api, lead, clinic)
    work("api_leads")

    if change == "account":
        answer = send(api, lead, other)
    else:
        answer = send(api, lead, clinic, package_price_paise=2_500_000)

    # What is on record is answered, and that the request will take nothing
    assert answer.status == 202
    shown = answer.json
    assert (shown["state"], shown["account"], shown["credits"]) == ("charged", clinic, 180)
    assert shown["reason"] == OTHERWISE_ON_RECORD

    work("api_leads")

    assert ask(api, lead).json["conflicts"] == 1
    assert len(charges(lead)) == 1
    assert balance(other) == 1_000
    [(actor,)] = rows("SELECT actor FROM lead_conflicts WHERE lead_id = :id", id=lead)
    assert actor == "api-key:house"


def test_nothing_is_learnt_of_a_lead_of_another_tenant(
    api: ApiProcess, number: int, clinic: str
) -> None:
    # Given a lead on record for a clinic that the key does not reach
    lead, mine = f"R-{number}", open_account(f"clinic:mine-{number}", credits_=1_000)
    key = make_key(f"r-mine-{number}", account=mine)
    send(api, lead, clinic)
    work("api_leads")

    # When the key asks for a lead of the same id, and for one that nobody has
    taken, free = (send(api, id_, mine, key=key) for id_ in (lead, f"{lead}-free"))

    # Then both are answered alike, and the other tenant's clinic pays nothing
    assert (taken.status, free.status) == (202, 202)
    hidden = {"lead_id": None, "updated_at": None}
    assert taken.json | hidden == free.json | hidden
    assert clinic not in taken.body.decode()
    work("api_leads")
    later = api.ask(f"/v1/leads/{lead}", key).json
    assert (later["state"], later["account"], later["credits"]) == ("conflict", mine, 0)
    assert clinic not in json.dumps(later)
    assert balance(mine) == 1_000 - 180


def test_a_pending_lead_is_found_whatever_others_send_under_its_id(
    api: ApiProcess, number: int, clinic: str
) -> None:
    # Given a pending lead, and another tenant who sends its id more often than is read at once
    lead, other = f"R-{number}", open_account(f"clinic:other-{number}", credits_=1_000)
    send(api, lead, clinic)
    body = {"lead_id": lead, "account": other, "package_price_paise": RS_6000}
    content = {"type": "lead.created", "actor": "api-key:other", "data": body}
    deliver(*[content] * (CANDIDATES_AT_ONCE + 5), source="api_leads")

    # Then whoever may see it does, and the others see their own
    mine, theirs = (
        make_key(f"r-{name}-{number}", account=account)
        for name, account in (("mine", clinic), ("theirs", other))
    )
    shown = [api.ask(f"/v1/leads/{lead}", key).json for key in (mine, theirs)]
    assert [(one["state"], one["account"]) for one in shown] == [
        ("pending", clinic), ("pending", other),
    ]  # fmt: skip
    work("api_leads")


def test_the_first_account_to_be_charged_has_the_id_whichever_door_the_others_use(
    api: ApiProcess, number: int, clinic: str
) -> None:
    # Given a tenant who sends the id of a lead of another one, before it
    lead, first = f"R-{number}", open_account(f"clinic:first-{number}", credits_=1_000)
    send(api, lead, first, key=make_key(f"r-first-{number}", account=first))
    work("api_leads")

    # When the lead comes for the other one, by the API and as a signed event
    theirs = make_key(f"r-second-{number}", account=clinic)
    send(api, lead, clinic, key=theirs)
    deliver(lead_event(lead, account=clinic))
    work("api_leads")
    work("leads")

    # Then it takes nothing, both know of their own part alone, and the operator of all
    assert (balance(first), balance(clinic)) == (1_000 - 180, 1_000)
    shown = api.ask(f"/v1/leads/{lead}", theirs)
    assert (shown.json["state"], shown.json["conflicts"]) == ("conflict", 1)
    assert first not in shown.body.decode()
    assert (ask(api, lead).json["account"], ask(api, lead).json["conflicts"]) == (first, 1)
    assert len(charges(lead)) == 1


def test_an_account_out_of_reach_is_as_unknown_as_none_and_nothing_is_recorded(
    api: ApiProcess, number: int, clinic: str
) -> None:
    mine = open_account(f"clinic:mine-{number}")
    key = make_key(f"r-mine-{number}", account=mine)
    pharma = make_key(f"r-pharma-{number}", product="pharmapulse_one")

    hidden, unknown = (send(api, f"R-{number}", ref, key=key) for ref in (clinic, "clinic:nobody"))

    assert (hidden.status, kind(hidden)) == (404, "unknown-account")
    assert hidden.but_for_its_id == unknown.but_for_its_id
    assert send(api, f"R-{number}", clinic, key=pharma).but_for_its_id == unknown.but_for_its_id
    assert inbox(f"R-{number}") == []


def test_after_a_refusal_its_key_is_good_for_the_corrected_request(
    api: ApiProcess, number: int, clinic: str
) -> None:
    once = f"r-{number}"
    assert send(api, f"R-{number}", "clinic:nobody", once=once).status == 404

    assert send(api, f"R-{number}", clinic, once=once).status == 202


def test_it_needs_its_scope(api: ApiProcess, number: int, clinic: str) -> None:
    reader = make_key(f"r-reader-{number}", account=clinic, scopes=["leads:read"])

    answer = send(api, f"R-{number}", clinic, key=reader)

    assert answer.status == 403
    assert "leads:write" in problem(answer)["detail"]
    assert inbox(f"R-{number}") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lead_id", ""),
        ("lead_id", 17),
        ("lead_id", "x" * 201),
        ("lead_id", "L\u200b1"),
        ("account", " clinic"),
        ("package_price_paise", -1),
        ("package_price_paise", "600000"),
        ("package_price_paise", 6000.5),
        ("package_price_paise", 2**53),
        ("source", "a\nb"),
        ("occurred_at", "2026-11-20T10:00:00"),
        ("occurred_at", "1999-11-20T10:00:00Z"),
        ("campaign", "misspelt"),
    ],
)
def test_what_a_worker_would_refuse_is_refused_at_once_by_name(
    api: ApiProcess, number: int, clinic: str, field: str, value: object
) -> None:
    answer = send(api, **{"lead_id": f"R-{number}", "account": clinic, field: value})  # type: ignore[arg-type]

    assert fields(answer) == [field]
    assert inbox(f"R-{number}") == []


def test_without_redis_a_lead_is_recorded_all_the_same(
    database_url: str, number: int, clinic: str, log_file: Path
) -> None:
    with ApiProcess(
        log_file, DATABASE_URL=database_url, API_KEYS=f"house:{HOUSE_KEY}", REDIS_URL=DEAD_REDIS
    ) as api:
        answers = [send(api, f"R-{number}-{n}", clinic) for n in range(3)]

    assert [answer.status for answer in answers] == [202] * 3
    work("api_leads")  # what the sweep asks for
    assert balance(clinic) == 1_000 - 3 * 180
