"""`GET /v1/accounts/{ref}/leads`: the leads on record of an account, in pages."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

import clock
from billing.leads import LeadRequest, charge_leads, end_lead
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.api.given_spending import fields, kind, make_key
from tests.api.test_leads import ask
from tests.billing.given import open_account
from tests.server_process import Answer

pytestmark = pytest.mark.usefixtures("house")

RS_6000 = 600_000  # costs 180 credits
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def clinic(number: int) -> str:
    """An account with credit for 50 leads."""
    return open_account(f"clinic:{number}", credits_=50 * 180)


def send(account: str, *lead_ids: str, at: datetime = NOON, price: int = RS_6000) -> None:
    """Have leads charged at a moment, in one batch."""
    requests = [
        LeadRequest(lead_id=lead_id, account=account, package_price_paise=price)
        for lead_id in lead_ids
    ]
    with clock.frozen(at), transaction() as session:
        charge_leads(session, requests, actor="test")


def page(api: ApiProcess, account: str, *, key: str = HOUSE_KEY, **query: str) -> Answer:
    return api.ask(f"/v1/accounts/{account}/leads?{urlencode(query)}", key)


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [lead["lead_id"] for lead in answer.json["leads"]]


def pages(api: ApiProcess, account: str, **query: str) -> list[list[str]]:
    """The ids on each page, until the last."""
    found, more = [], dict(query)
    while True:
        answer = page(api, account, **more)
        found.append(ids(answer))
        if answer.json["next"] is None:
            return found
        more["after"] = answer.json["next"]


def test_each_lead_is_listed_as_it_is_shown_alone(
    api: ApiProcess, number: int, clinic: str
) -> None:
    lead = f"P-{number}"
    send(clinic, lead)
    send(clinic, lead, price=1_200_000)  # a conflict

    [listed] = page(api, clinic).json["leads"]

    assert listed == ask(api, lead).json
    assert (listed["state"], listed["conflicts"]) == ("charged", 1)
    assert datetime.fromisoformat(listed["created_at"]) == NOON


def test_pages_hold_each_lead_once_the_newest_first_whatever_comes_in_between(
    api: ApiProcess, number: int, clinic: str
) -> None:
    # Given 45 leads, 25 of them charged at the same moment
    early = [f"P-{number}-{n:02}" for n in range(10)]
    batch = [f"P-{number}-b{n:02}" for n in range(25)]
    late = [f"P-{number}-c/{n:02}?#%" for n in range(10)]
    for n, lead in enumerate(early):
        send(clinic, lead, at=NOON - timedelta(hours=20 - n))
    send(clinic, *batch)
    for n, lead in enumerate(late):
        send(clinic, lead, at=NOON + timedelta(hours=n + 1))
    first = page(api, clinic)

    # When a lead comes in after the first page was read
    send(clinic, f"P-{number}-new", at=NOON + timedelta(days=2))

    # Then the pages behind it are as they were
    rest = pages(api, clinic, after=first.json["next"])
    assert [len(ids(first)), *map(len, rest)] == [20, 20, 5]
    newest_first = [*reversed(late), *reversed(batch), *reversed(early)]
    assert [*ids(first), *(lead for one in rest for lead in one)] == newest_first


def test_a_full_last_page_has_no_next(api: ApiProcess, number: int, clinic: str) -> None:
    send(clinic, *(f"P-{number}-{n:02}" for n in range(20)))

    assert [len(one) for one in pages(api, clinic)] == [20]


def test_it_lists_by_state(api: ApiProcess, number: int) -> None:
    clinic = open_account(f"clinic:{number}", credits_=180)
    names = {state: f"P-{number}-{state}" for state in ("charged", "parked", "cancelled")}
    send(clinic, names["charged"], names["parked"], names["cancelled"])
    with transaction() as session:
        end_lead(
            session, names["cancelled"], account=clinic, before="parked", state="cancelled",
            now=clock.now(),
        )  # fmt: skip

    for state, lead in names.items():
        listed = page(api, clinic, state=state).json["leads"]
        assert [(one["lead_id"], one["state"]) for one in listed] == [(lead, state)]
    assert ids(page(api, clinic, state="refunded")) == []
    assert len(ids(page(api, clinic))) == 3


def test_since_is_within_and_until_is_not(api: ApiProcess, number: int, clinic: str) -> None:
    moments = [NOON + timedelta(hours=n) for n in range(3)]
    for n, moment in enumerate(moments):
        send(clinic, f"P-{number}-{n}", at=moment)

    within = page(api, clinic, since=moments[1].isoformat(), until=moments[2].isoformat())

    assert ids(within) == [f"P-{number}-1"]
    assert ids(page(api, clinic, since=moments[1].isoformat())) == [
        f"P-{number}-2",
        f"P-{number}-1",
    ]


def test_conflicts_of_others_are_counted_only_within_reach(
    api: ApiProcess, number: int, clinic: str
) -> None:
    other = open_account(f"clinic:other-{number}")
    send(clinic, f"P-{number}")
    send(other, f"P-{number}")
    own = make_key(f"p-own-{number}", account=clinic)

    counts = [page(api, clinic, key=key).json["leads"][0]["conflicts"] for key in (HOUSE_KEY, own)]

    assert counts == [1, 0]
    # And the lead that is not its own is not in the other's list
    assert ids(page(api, other)) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "pending"}, "state"),
        ({"since": "2026-11-20"}, "since"),
        ({"since": "2026-11-21T00:00:00Z", "until": "2026-11-20T00:00:00Z"}, "until"),
        ({"after": "P-nobody"}, "after"),
        ({"after": "a\x00b"}, "after"),
        ({"statee": "charged"}, "statee"),
    ],
)
def test_a_wrong_filter_is_named(
    api: ApiProcess, clinic: str, query: dict[str, Any], field: str
) -> None:
    assert fields(page(api, clinic, **query)) == [field]


def test_a_lead_of_another_account_is_no_position(
    api: ApiProcess, number: int, clinic: str
) -> None:
    other = open_account(f"clinic:other-{number}", credits_=1_000)
    send(other, f"P-{number}")

    answer = page(api, clinic, after=f"P-{number}")

    assert fields(answer) == ["after"]
    unknown = page(api, clinic, after="P-nobody")
    assert problem(answer)["detail"] == problem(unknown)["detail"]


def test_an_account_out_of_reach_is_as_unknown_as_none(
    api: ApiProcess, number: int, clinic: str
) -> None:
    send(clinic, f"P-{number}")
    key = make_key(f"p-other-{number}", account=open_account(f"clinic:other-{number}"))

    hidden, unknown = (page(api, ref, key=key) for ref in (clinic, "clinic:nobody"))

    assert (hidden.status, kind(hidden)) == (404, "unknown-account")
    assert problem(hidden)["detail"] == problem(unknown)["detail"]


def test_it_needs_its_scope(api: ApiProcess, number: int, clinic: str) -> None:
    key = make_key(f"p-writer-{number}", account=clinic, scopes=["leads:write", "accounts:read"])

    answer = page(api, clinic, key=key)

    assert answer.status == 403
    assert "leads:read" in problem(answer)["detail"]
