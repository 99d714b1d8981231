"""`GET /v1/events`: everything that happened in the key's reach, once, in the order of commits."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import jsonschema
import pytest

import clock
from billing import accounts, notices, topics
from billing.access import keys
from billing.topics import PLATFORM_TOPICS, Topic
from db import outbox
from db.models import Account
from db.outbox import NewNotice
from db.roles import Role
from db.session import transaction
from tests.api.api_process import ApiProcess, problem
from tests.api.conftest import HOUSE_KEY
from tests.billing.given import rows

pytestmark = pytest.mark.usefixtures("house")


def open_account(ref: str, product: str = "clinic_leads") -> str:
    with transaction() as session:
        accounts.create(session, ref=ref, name="City Clinic", product=product)
    return ref


def happen(ref: str | None, *happened: Topic, at: datetime | None = None) -> None:
    """Write notices about an account, each as the example of its topic."""
    with transaction() as session:
        outbox.write(
            session, [notice(session, ref, one) for one in happened], now=at or clock.now()
        )


def notice(session: Any, ref: str | None, topic: Topic) -> NewNotice:
    id_ = session.query(Account.id).filter(Account.ref == ref).scalar() if ref else None
    return NewNotice(topic, "test", id_, dict(topics.CATALOGUE[topic].example) | {"account": ref})


def place() -> None:
    more = True
    while more:
        with transaction() as session:
            more = notices.fan_out(session, now=clock.now()).more


def make_key(**reach: Any) -> str:
    with transaction(Role.OWNER) as session:
        return keys.create(session, name=f"events-{uuid4()}", **reach)


def events(api: ApiProcess, key: str = HOUSE_KEY, **query: object) -> Mapping[str, Any]:
    """A page."""
    answer = api.ask(f"/v1/events?{urlencode(query)}", key)
    assert answer.status == 200, answer.body
    page: Mapping[str, Any] = answer.json
    return page


def types(page: Mapping[str, Any]) -> list[str]:
    return [event["type"] for event in page["events"]]


@pytest.fixture
def now_on(api: ApiProcess) -> str:
    """Where what a test writes begins."""
    place()
    found: str = events(api, after="latest")["next"]
    return found


def test_a_page_goes_on_where_the_last_one_ended(api: ApiProcess, now_on: str, number: int) -> None:
    ref = open_account(f"clinic:pages-{number}")
    happen(ref, *[Topic.LEAD_PARKED] * 3, Topic.BALANCE_LOW, Topic.REFUND_FAILED)
    place()
    seen, after, more = [], now_on, True
    while more:
        page = events(api, account=ref, after=after, limit=2)
        seen += page["events"]
        after, more = page["next"], page["more"]
    assert [event["data"]["sequence"] for event in seen] == [1, 2, 3, 4, 5]
    assert [event["type"] for event in seen][-2:] == ["balance.low", "refund.failed"]
    # And an empty page has a `next` to go on with, which misses nothing
    assert events(api, account=ref, after=after) == {"events": [], "next": after, "more": False}
    happen(ref, Topic.BALANCE_LOW)
    place()
    assert types(events(api, account=ref, after=after)) == ["balance.low"]


def test_two_that_commit_in_reverse_are_both_seen(
    api: ApiProcess, now_on: str, number: int
) -> None:
    ref = open_account(f"clinic:reverse-{number}")
    # Given a notice that is written first and not committed
    with transaction() as first:
        outbox.write(first, [notice(first, ref, Topic.BALANCE_LOW)], now=clock.now())
        # When a later one is committed, placed and read before it
        happen(ref, Topic.BALANCE_RECOVERED)
        place()
        page = events(api, account=ref, after=now_on)
        assert types(page) == ["balance.recovered"]
    place()
    # Then the reader who goes on from there gets the first one too
    assert types(events(api, account=ref, after=page["next"])) == ["balance.low"]
    ids = rows("SELECT topic FROM outbox_events e JOIN accounts a ON a.id = e.account_id"
               " WHERE a.ref = :ref ORDER BY e.id", ref=ref)  # fmt: skip
    assert ids == [("balance.low",), ("balance.recovered",)]


def test_an_event_is_the_notice_that_an_endpoint_gets(
    api: ApiProcess, now_on: str, number: int
) -> None:
    ref = open_account(f"clinic:same-{number}")
    happen(ref, *(t for t in PLATFORM_TOPICS if t is not Topic.LEAD_CHARGED))
    place()
    page = events(api, account=ref, after=now_on, limit=500)
    assert len(page["events"]) == len(PLATFORM_TOPICS) - 1
    schemas = {
        one["type"]: one["data_schema"]
        for one in api.ask("/v1/event-types", HOUSE_KEY).json["event_types"]
    }
    assert schemas.keys() == set(PLATFORM_TOPICS)
    written = rows("SELECT 'ntc_' || id, convert_from(body, 'UTF8') FROM outbox_events")
    bodies = {str(id_): str(body) for id_, body in written}
    for event in page["events"]:
        jsonschema.validate(event["data"], schemas[event["type"]])
        assert event["timestamp"] in bodies[event["id"]]


def test_only_platform_topics_in_the_reach_of_the_key_are_shown(
    api: ApiProcess, now_on: str, number: int
) -> None:
    # Given what happened to two clinics and a pharmacy, to operators, and to nobody that is known
    mine, other = open_account(f"clinic:r1-{number}"), open_account(f"clinic:r2-{number}")
    drugs = open_account(f"pharmacy:r-{number}", "pharmapulse_one")
    happen(mine, Topic.BALANCE_LOW, Topic.ACCOUNT_REVIEW, Topic.LEAD_CHARGED)
    happen(other, Topic.LEAD_PARKED, Topic.PAYMENT_QUARANTINED)
    happen(drugs, Topic.PLAN_DEGRADED, Topic.PLAN_REFUNDED)
    happen(None, Topic.LEAD_REFUSED, Topic.PAYMENT_UNMATCHED, Topic.GATEWAY_SILENT)
    place()
    # Then each key sees its own
    leads = make_key(product="clinic_leads")
    assert types(events(api, leads, after=now_on)) == ["balance.low", "lead.parked", "lead.refused"]
    pharmacies = make_key(product="pharmapulse_one")
    assert types(events(api, pharmacies, after=now_on)) == ["plan.degraded"]
    clinic = make_key(account=mine)
    assert types(events(api, clinic, after=now_on)) == ["balance.low"]
    assert types(events(api, clinic, after=now_on, type="*,lead.charged")) == [
        "balance.low", "lead.charged",
    ]  # fmt: skip
    assert set(types(events(api, after=now_on))) == {
        "balance.low", "lead.parked", "plan.degraded", "lead.refused",
    }  # fmt: skip
    # And no other account
    for key, ref in ((clinic, other), (pharmacies, mine), (leads, drugs)):
        answer = api.ask(f"/v1/events?account={ref}", key)
        assert (answer.status, problem(answer)["type"]) == (
            404, "urn:problem-type:billing:unknown-account",
        )  # fmt: skip


def test_types_are_named_by_patterns_commas_and_repetition(
    api: ApiProcess, now_on: str, number: int
) -> None:
    ref = open_account(f"clinic:types-{number}")
    happen(ref, Topic.BALANCE_LOW, Topic.LEAD_CHARGED, Topic.LEAD_PARKED, Topic.REFUND_FAILED)
    place()
    for asked, expected in (
        ("type=balance.*", ["balance.low"]),
        ("type=lead.*", ["lead.parked"]),
        ("type=lead.charged", ["lead.charged"]),
        ("type=balance.low,refund.*", ["balance.low", "refund.failed"]),
        ("type=balance.low&type=lead.parked", ["balance.low", "lead.parked"]),
        ("type=*", ["balance.low", "lead.parked", "refund.failed"]),
        ("type=plan.*", []),
        ("", ["balance.low", "lead.parked", "refund.failed"]),
    ):
        answer = api.ask(f"/v1/events?account={ref}&after={now_on}&{asked}", HOUSE_KEY)
        assert types(answer.json) == expected, asked


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("type=balance.lwo", "type", "no topic is called 'balance.lwo': did you mean balance.low?"),
        ("after=latest&type=balance.lwo", "type", "no topic is called 'balance.lwo'"),
        ("type=gateway.silent", "type", "gateway.silent cannot be chosen here: there are balance"),
        ("type=endpoint.test", "type", "endpoint.test cannot be chosen here"),
        ("type=", "type", "no topic is called ''"),
        ("type=%00", "type", "no topic is called '\\x00'"),
        ("type=" + ",".join(["lead.*"] * 101), "type", "at most 100"),
        ("type=" + "x" * 65, "type.0", "at most 64"),
        ("after=-1", "after", "must be the `next` of an earlier page, or latest"),
        ("after=" + "1" + "0" * 30, "after", "must be the `next` of an earlier page, or latest"),
        ("after=99999999999999999999", "after", "must be the `next` of an earlier page"),
        ("after=" + quote("٣"), "after", "must be the `next` of an earlier page, or latest"),
        ("after=1%00", "after", "must be the `next` of an earlier page, or latest"),
        ("after=", "after", "must be the `next` of an earlier page, or latest"),
        ("after=9223372036854775807", "after", "is beyond what happened"),
        ("limit=0", "limit", "greater than or equal to 1"),
        ("limit=501", "limit", "less than or equal to 500"),
        ("limit=x", "limit", "integer"),
        ("account=", "account", ""),
        ("account=%00", "account", ""),
        ("types=lead.parked", "types", "not permitted"),
    ],
)
def test_what_makes_no_sense_is_refused(api: ApiProcess, query: str, field: str, says: str) -> None:
    answer = api.ask(f"/v1/events?{query}", HOUSE_KEY)
    assert answer.status == 422, answer.body
    [error] = problem(answer)["errors"]
    assert error["field"] == field
    assert says in error["detail"]


def test_a_hundred_types_are_as_good_as_all(api: ApiProcess, now_on: str) -> None:
    query = "&".join(["type=" + ",".join(["lead.*"] * 50)] * 2)
    assert api.ask(f"/v1/events?after={now_on}&{query}", HOUSE_KEY).status == 200


def test_a_cursor_from_before_what_is_kept_says_what_to_do(api: ApiProcess, number: int) -> None:
    # Given an account whose first notices are too old to be read
    ref, now = open_account(f"clinic:old-{number}"), clock.now()
    place()
    before = events(api, after="latest")["next"]
    happen(ref, Topic.LEAD_PARKED, Topic.BALANCE_LOW, at=now - timedelta(days=91))
    happen(ref, Topic.REFUND_FAILED, at=now)
    place()
    # When it is read on from before them
    answer = api.ask(f"/v1/events?account={ref}&after={before}", HOUSE_KEY)
    # Then nothing is left out silently
    shown = problem(answer)
    assert (answer.status, shown["type"]) == (410, "urn:problem-type:billing:events-not-kept")
    assert "ask without `after`" in shown["detail"]
    # And whoever missed nothing goes on
    assert types(events(api, account=ref, after=int(before) + 2)) == ["refund.failed"]
    # And so does a reader whose account has nothing that old
    other = open_account(f"clinic:young-{number}")
    happen(other, Topic.BALANCE_LOW)
    place()
    assert types(events(api, account=other, after=before)) == ["balance.low"]


def test_the_beginning_is_the_oldest_that_is_kept(database: str) -> None:
    # Given 100 notices, one a day
    open_account("clinic:1")
    now = datetime(2026, 11, 21, tzinfo=UTC)
    for day in range(100):
        happen("clinic:1", Topic.BALANCE_LOW, at=now - timedelta(days=99 - day))
    place()

    def read(after: int, kept_days: int | None) -> list[int]:
        oldest = None if kept_days is None else now - timedelta(days=kept_days)
        with transaction() as session:
            page = notices.events_after(
                session, after=after, types=(), product=None, account_id=None, oldest=oldest,
                limit=500,
            )  # fmt: skip
        return [event.position for event in page.events]

    # Then a reader without a cursor begins with the first that is kept
    for kept in (0, 1, 50, 98, 99):
        assert read(0, kept) == list(range(100 - kept, 101)), kept
    assert read(0, 1_000) == read(0, None) == list(range(1, 101))


def test_who_begins_with_the_oldest_can_go_on(database: str) -> None:
    # Given notices a second apart, of which the oldest are just kept
    open_account("clinic:1")
    begun = clock.now()
    for second in range(4):
        happen("clinic:1", Topic.BALANCE_LOW, at=begun + timedelta(seconds=second))
    place()

    def read(after: int, oldest: datetime) -> notices.EventPage:
        with transaction() as session:
            return notices.events_after(
                session, after=after, types=(), product=None, account_id=None, oldest=oldest,
                limit=1,
            )  # fmt: skip

    # When a reader begins with them, and asks again a minute later
    first = read(0, begun)
    later = begun + timedelta(minutes=1)
    # Then it goes on there
    assert [e.position for e in read(first.next, later).events] == [2]
    # And not the next day
    with pytest.raises(notices.CursorTooOld):
        read(first.next, later + timedelta(days=1))


@pytest.mark.parametrize("types", [["balance.*"], ["balance.*", "lead.charged"]])
@pytest.mark.parametrize("reach", [{}, {"product": "clinic_leads"}, {"account_id": 1}])
def test_a_page_looks_at_so_many_rows_and_no_more(
    database: str, monkeypatch: pytest.MonkeyPatch, types: list[str], reach: dict[str, Any]
) -> None:
    # Given a page that looks at ten rows, and two wanted ones far apart
    monkeypatch.setattr("billing.notices.pull.MOST_LOOKED_AT", 10)
    open_account("clinic:1")
    happen("clinic:1", Topic.BALANCE_LOW, *[Topic.LEAD_PARKED] * 24, Topic.BALANCE_RECOVERED)
    place()
    # When a reader goes on as long as there is more, Then it has both, in small steps
    after, seen, steps = 0, [], 0
    while True:
        with transaction() as session:
            page = notices.events_after(
                session, after=after, types=types, oldest=None, limit=100,
                **{"product": None, "account_id": None, **reach},
            )  # fmt: skip
        seen += [(event.position, event.topic) for event in page.events]
        after, steps = page.next, steps + 1
        if not page.more:
            break
    assert seen == [(1, "balance.low"), (26, "balance.recovered")]
    assert (after, steps) == (26, 3)


def test_the_types_are_those_of_the_catalogue(api: ApiProcess) -> None:
    answer = api.ask("/v1/event-types?type=lead.charged,balance.*", HOUSE_KEY).json["event_types"]
    assert [(one["type"], one["high_volume"]) for one in answer] == [
        ("balance.low", False), ("balance.exhausted", False), ("balance.in_debt", False),
        ("balance.recovered", False), ("lead.charged", True),
    ]  # fmt: skip
    for one in answer:
        jsonschema.validate(one["example"], one["data_schema"])
    assert api.ask("/v1/event-types?type=gateway.*", HOUSE_KEY).status == 422


@pytest.mark.parametrize("path", ["/v1/events", "/v1/event-types"])
def test_the_scope_is_needed(api: ApiProcess, path: str) -> None:
    without = make_key(product="clinic_leads", scopes=sorted(set(keys.SCOPES) - {"events:read"}))
    answer = api.ask(path, without)
    assert answer.status == 403
    assert "events:read" in problem(answer)["detail"]
