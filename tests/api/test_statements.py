"""`/v1/accounts/{ref}/statement`: days of the account's zone, and figures that add up."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

import clock
from billing import accounts
from billing.access import keys as api_keys
from billing.calendar import local_day_of
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import at_once, give, open_account, post_all, take

pytestmark = pytest.mark.usefixtures("house")


def statement(api: ApiProcess, ref: str, **query: str) -> dict[str, Any]:
    asked = "&".join(f"{name.rstrip('_')}={value}" for name, value in query.items())
    answer = api.ask(f"/v1/accounts/{quote(ref)}/statement?{asked}", HOUSE_KEY)
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    return shown


def open_in(zone: str, ref: str) -> str:
    with transaction() as session:
        accounts.create(session, ref=ref, name="City Clinic", product="clinic_leads", timezone=zone)
    return ref


def test_movements_are_summed_by_kind_between_two_balances(api: ApiProcess, number: int) -> None:
    ref = open_account(f"clinic:{number}", credits_=1_000)
    post_all(take(180, account=ref, key=f"a-{number}"), take(250, account=ref, key=f"b-{number}"))
    today = local_day_of(clock.now(), "Asia/Kolkata")
    begins = datetime.combine(today, datetime.min.time(), tzinfo=UTC) - timedelta(hours=5.5)

    shown = statement(api, ref, from_=str(today), to=str(today))

    assert shown == {
        "account": ref, "timezone": "Asia/Kolkata",
        "start": begins.isoformat().replace("+00:00", "Z"),
        "end": (begins + timedelta(days=1)).isoformat().replace("+00:00", "Z"),
        "opening": 0,
        "totals": [
            {"kind": "goodwill", "rows": 1, "amount": 1_000},
            {"kind": "lead_charge", "rows": 2, "amount": -430},
        ],
        "closing": 570,
    }  # fmt: skip
    assert statement(api, ref, month=f"{today:%Y-%m}")["closing"] == 570
    # And a later period opens with what this one closed with
    later = statement(api, ref, from_=str(today + timedelta(days=1)), to=str(today + timedelta(9)))
    assert (later["opening"], later["totals"], later["closing"]) == (570, [], 570)


@pytest.mark.parametrize(
    ("zone", "query", "start", "end"),
    [
        # 24 hours, 23 and 25: Berlin changes on 29 March and 25 October 2026
        ("Europe/Berlin", "from=2026-02-03&to=2026-02-03", "02-02T23:00", "02-03T23:00"),
        ("Europe/Berlin", "from=2026-03-29&to=2026-03-29", "03-28T23:00", "03-29T22:00"),
        ("Europe/Berlin", "from=2026-10-25&to=2026-10-25", "10-24T22:00", "10-25T23:00"),
        ("Europe/Berlin", "month=2026-03", "02-28T23:00", "03-31T22:00"),
        # Cairo skips the midnight itself on 24 April 2026: its day begins at one o'clock
        ("Africa/Cairo", "from=2026-04-24&to=2026-04-24", "04-23T22:00", "04-24T21:00"),
        ("Asia/Kolkata", "month=2026-02", "01-31T18:30", "02-28T18:30"),
    ],
)
def test_days_and_months_are_those_of_the_accounts_zone(
    api: ApiProcess, number: int, zone: str, query: str, start: str, end: str
) -> None:
    ref = open_in(zone, f"clinic:{number}")

    shown = api.ask(f"/v1/accounts/{ref}/statement?{query}", HOUSE_KEY).json

    assert (shown["start"], shown["end"]) == (f"2026-{start}:00Z", f"2026-{end}:00Z")
    assert shown["timezone"] == zone


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "month"),
        ("from=2026-11-01", "month"),
        ("to=2026-11-01", "month"),
        ("month=2026-11&from=2026-11-01&to=2026-11-02", "month"),
        ("month=2026-11&to=2026-11-02", "month"),
        ("month=2026-13", "month"),
        ("month=2026-1", "month"),
        ("month=0000-01", "month"),
        ("month=2026-11-01", "month"),
        ("from=2026-11-02&to=2026-11-01", "to"),
        ("from=2025-01-01&to=2026-01-02", "to"),
        ("from=2026-02-30&to=2026-03-01", "from"),
        ("from=20261101&to=2026-11-02", "from"),
        ("from=86400&to=2026-11-02", "from"),
        ("from=2026-11-01T00:00:00Z&to=2026-11-02", "from"),
        ("from=0001-01-01&to=0001-01-02", "from"),
        ("month=0001-01", "month"),
        ("month=9999-12", "month"),
        ("from=9999-12-30&to=9999-12-31", "from"),
        ("from=%D9%A2026-11-01&to=2026-11-02", "from"),
        ("from=2026-11-01&to=2026-11-02&kind=top_up", "kind"),
    ],
)
def test_a_period_that_makes_no_sense_is_refused_by_name(
    api: ApiProcess, number: int, query: str, field: str
) -> None:
    ref = open_account(f"clinic:{number}")

    answer = api.ask(f"/v1/accounts/{ref}/statement?{query}", HOUSE_KEY)

    assert answer.status == 422
    assert [error["field"] for error in problem(answer)["errors"]] == [field]


def test_a_year_with_its_leap_day_is_the_longest_period(api: ApiProcess, number: int) -> None:
    ref = open_account(f"clinic:{number}")

    assert statement(api, ref, from_="2024-01-01", to="2024-12-31")["closing"] == 0


def test_another_tenants_statement_is_unknown(api: ApiProcess, number: int) -> None:
    mine, other = (open_account(f"clinic:{side}-{number}") for side in "ab")
    with transaction(Role.OWNER) as session:
        strangers = [
            api_keys.create(session, name=f"s-other-{number}", account=other),
            api_keys.create(session, name=f"s-pharma-{number}", product="pharmapulse_one"),
        ]
        own = api_keys.create(session, name=f"s-own-{number}", account=mine)
        blind = api_keys.create(
            session, name=f"s-blind-{number}", account=mine, scopes=["payments:read"]
        )
    path = "/v1/accounts/{}/statement?month=2026-11"

    assert api.ask(path.format(mine), own).status == 200
    for key in strangers:
        hidden = api.ask(path.format(mine), key)
        unknown = api.ask(path.format("clinic:nobody-opened-it"), key)
        assert hidden.status == unknown.status == 404
        assert problem(hidden)["type"] == "urn:problem-type:billing:unknown-account"
    assert "accounts:read" in problem(api.ask(path.format(mine), blind))["detail"]


def test_figures_add_up_while_rows_come_in(api: ApiProcess, number: int) -> None:
    # Given four threads that post while four others read
    ref = open_account(f"clinic:{number}")
    today = str(local_day_of(clock.now(), "Asia/Kolkata"))

    def write(part: int) -> None:
        for n in range(10):
            post_all(give(7, account=ref, key=f"g-{number}-{part}-{n}"))

    def read() -> list[tuple[int, int, int]]:
        shown = [statement(api, ref, from_=today, to=today) for _ in range(10)]
        return [
            (
                s["closing"],
                sum(t["amount"] for t in s["totals"]),
                sum(t["rows"] for t in s["totals"]),
            )
            for s in shown
        ]

    answers = at_once(*(partial(write, part) for part in range(4)), *[read] * 4)

    # Then each reader saw whole rows, and never less than before
    for seen in answers:
        if seen is not None:
            assert isinstance(seen, list), seen
            assert seen == sorted(seen)
            assert all(closing == moved == 7 * rows for closing, moved, rows in seen)
    assert statement(api, ref, from_=today, to=today)["closing"] == 280
