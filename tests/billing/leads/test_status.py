"""The status of a lead, from the moment it is recorded, within the caller's reach."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

import clock
from billing import accounts
from billing.leads import LeadRequest, charge_leads
from billing.leads import status as lead_status
from billing.leads.status import WAITS_FOR_AN_OPERATOR, LeadStatus
from db.deliveries import NewEvent, record
from db.models import LeadConflict
from db.session import transaction
from tests.between import once_read
from tests.billing.given import open_account, rows
from tests.conftest import owner
from tests.tasks import given as events

pytestmark = pytest.mark.usefixtures("database")

RS_6000 = 600_000  # costs 180 credits
RS_12000 = 1_200_000  # costs 250 credits
Writer = Callable[[object], str]


def find(lead_id: str = "L-1", **reach: object) -> LeadStatus | None:
    with transaction() as session:
        return lead_status.find_status(session, lead_id, **reach)  # type: ignore[arg-type]


def state(lead_id: str = "L-1", **reach: object) -> str | None:
    found = find(lead_id, **reach)
    return None if found is None else found.state


def id_of(ref: str) -> int:
    with transaction() as session:
        account = accounts.find(session, ref)
        assert account is not None
        return account.id


def charge(lead_id: str = "L-1", *, account: str = "clinic:42", price: int = RS_6000) -> None:
    request = LeadRequest(lead_id=lead_id, account=account, package_price_paise=price)
    with transaction() as session:
        charge_leads(session, [request], actor="test")


def conflict(lead_id: str = "L-1", *, account: str, price: int = RS_12000) -> None:
    with transaction() as session:
        session.add(
            LeadConflict(
                lead_id=lead_id, account_id=id_of(account), package_price_paise=price,
                actor="test", created_at=clock.now(),
            )
        )  # fmt: skip


def deliver(
    lead_id: str = "L-1",
    *,
    account: str = "clinic:42",
    price: object = RS_6000,
    source: str = "leads",
    state: str = "pending",
    write: Writer = json.dumps,
) -> None:
    data = {"lead_id": lead_id, "account": account, "package_price_paise": price}
    event = {"type": "lead.created", "timestamp": "2026-11-20T08:00:00Z", "data": data}
    deliver_body(write(event).encode(), source=source, state=state)


def deliver_body(body: bytes, *, source: str = "leads", state: str = "pending") -> None:
    [[number]] = rows("SELECT count(*) FROM inbound_events")
    with transaction() as session:
        record(session, [NewEvent(source, f"e-{number}", body, clock.now())])
    with owner() as connection:
        connection.exec_driver_sql(
            "UPDATE inbound_events SET state = %s WHERE event_id = %s", (state, f"e-{number}")
        )


def work_off() -> None:
    """A worker has come by."""
    with owner() as connection:
        connection.exec_driver_sql("UPDATE inbound_events SET state = 'done'")


def test_a_lead_that_a_worker_takes_from_the_inbox_while_one_looks_is_never_unknown() -> None:
    open_account(credits_=1_000)
    deliver()

    def charge_it() -> None:
        charge()
        work_off()

    with once_read("lead_charges", charge_it):
        seen = state()

    assert seen == "charged"


def test_a_lead_and_what_disagrees_with_it_are_seen_together() -> None:
    # Given two requests of one lead that disagree
    open_account(credits_=1_000)
    for price in (RS_6000, RS_12000):
        deliver(price=price)

    def charge_both() -> None:
        requests = [
            LeadRequest(lead_id="L-1", account="clinic:42", package_price_paise=price)
            for price in (RS_6000, RS_12000)
        ]
        with transaction() as session:
            charge_leads(session, requests, actor="test")
        work_off()

    # When a worker handles both in one transaction while one looks
    with once_read("lead_charges", charge_both):
        found = find()
    # Then the status is the lead's, and not that of the request that came too late for it
    assert found is not None
    assert (found.state, found.credits, found.conflicts) == ("charged", 180, 1)


def test_a_lead_that_nobody_sent_is_unknown() -> None:
    assert find() is None


@pytest.mark.parametrize(("credits_", "recorded"), [(1_000, "charged"), (0, "parked")])
def test_a_lead_on_record_has_the_status_of_its_row(credits_: int, recorded: str) -> None:
    open_account(credits_=credits_)
    happened = datetime(2026, 11, 20, 8, tzinfo=UTC)
    with clock.frozen(happened):
        charge()

    found = find()

    assert found == LeadStatus(
        "L-1",
        "clinic:42",
        recorded,
        180,
        RS_6000,
        0,
        occurred_at=happened,
        updated_at=happened,
        created_at=happened,
    )


@pytest.mark.parametrize("later", ["refunded", "cancelled"])
def test_a_later_state_is_reported_too(later: str) -> None:
    open_account(credits_=1_000 if later == "refunded" else 0)
    charge()
    with owner() as connection:
        connection.exec_driver_sql("UPDATE lead_charges SET state = %s", (later,))

    assert state() == later


def test_requests_that_disagree_with_the_record_are_counted() -> None:
    open_account(credits_=1_000)
    open_account("clinic:43")
    charge()
    for account in ("clinic:42", "clinic:43", "clinic:43"):
        conflict(account=account)

    # A caller with all of them in reach sees all; the account's own key sees its own alone
    found = find(product="clinic_leads")
    assert found is not None
    assert (found.state, found.conflicts) == ("charged", 3)
    own = find(account_id=id_of("clinic:42"))
    assert own is not None
    assert (own.state, own.conflicts) == ("charged", 1)


def test_an_account_that_asked_for_anothers_lead_sees_a_conflict_and_nothing_of_the_other() -> None:
    open_account(credits_=1_000)
    open_account("clinic:43")
    charge()
    conflict(account="clinic:43", price=RS_6000)
    conflict(account="clinic:43", price=RS_12000)

    found = find(account_id=id_of("clinic:43"))

    assert found is not None
    assert (found.state, found.account, found.credits) == ("conflict", "clinic:43", 0)
    assert (found.package_price_paise, found.conflicts) == (RS_12000, 2)


@pytest.mark.parametrize("source", ["leads", "lead_calls", "api_leads"])
def test_a_recorded_event_is_pending_at_its_price(source: str) -> None:
    open_account()
    deliver(source=source, price=RS_12000)

    found = find()

    assert found is not None
    assert (found.state, found.account, found.credits) == ("pending", "clinic:42", 250)
    assert found.reason is None


def test_a_dead_event_is_pending_and_waits_for_an_operator() -> None:
    open_account()
    deliver(state="dead")

    found = find()

    assert found is not None
    assert (found.state, found.reason) == ("pending", WAITS_FOR_AN_OPERATOR)


def test_a_lead_that_was_refused_says_so_and_why() -> None:
    open_account()
    refuse({"lead_id": "L-1", "account": "clinic:42", "package_price_paise": "6000"})

    found = find(product="clinic_leads")

    assert found is not None
    assert (found.state, found.account) == ("refused", "clinic:42")
    assert "data.package_price_paise: Input should be a valid integer" in str(found.reason)


def test_a_refused_lead_whose_account_nobody_has_is_seen_by_who_sees_all() -> None:
    refuse({"lead_id": "L-1", "account": "clinic:none", "package_price_paise": RS_6000})

    found = find()

    assert found is not None
    assert (found.state, found.package_price_paise) == ("refused", RS_6000)
    assert str(found.reason).startswith("UnknownAccount: ")
    assert find(product="clinic_leads") is None


def test_an_id_that_was_sent_as_a_number_is_found() -> None:
    refuse({"lead_id": 17, "account": "clinic:42", "package_price_paise": RS_6000})

    with transaction() as session:
        found = lead_status.find_status(session, "17")

    assert found is not None
    assert found.state == "refused"


def test_a_refused_lead_that_is_sent_again_corrected_is_what_becomes_of_it() -> None:
    open_account(credits_=1_000)
    refuse({"lead_id": "L-1", "account": "clinic:42", "package_price_paise": None})
    events.deliver(events.lead_event("L-1"))
    assert find_state() == "pending"
    events.work()

    assert find_state() == "charged"


def refuse(data: object) -> None:
    """An event that its handler refuses."""
    events.deliver({**events.lead_event(), "data": data})
    events.work()


def find_state() -> str | None:
    found = find()
    return found.state if found else None


def test_an_event_that_is_tried_again_is_reported_before_a_dead_one() -> None:
    open_account()
    deliver(state="pending", price=RS_6000)
    deliver(state="dead", price=RS_12000)

    found = find()

    assert found is not None
    assert (found.credits, found.reason) == (180, None)


@pytest.mark.parametrize("finished", ["done", "ignored"])
def test_a_finished_event_is_not_reported(finished: str) -> None:
    open_account()
    deliver(state=finished)

    assert find() is None


def test_an_event_of_another_source_is_not_reported() -> None:
    open_account()
    deliver(source="razorpay")

    assert find() is None


def test_the_record_counts_more_than_what_waits() -> None:
    open_account()
    charge()
    deliver()

    assert state() == "parked"


def test_a_lead_of_an_account_that_does_not_exist_waits_for_an_operator() -> None:
    deliver(account="clinic:unknown", state="dead")

    found = find()

    assert found is not None
    assert (found.state, found.account) == ("pending", "clinic:unknown")
    assert found.reason == "waits for an operator"


def test_an_account_that_does_not_exist_is_in_nobodys_reach() -> None:
    deliver(account="clinic:unknown", state="dead")

    assert find(product="clinic_leads") is None
    assert find(account_id=1) is None


def test_nothing_beyond_the_reach_is_seen() -> None:
    # Given a lead on record, one that waits and one in conflict, all of another account
    open_account(credits_=1_000)
    open_account("clinic:43")
    charge("L-recorded")
    deliver("L-waiting")
    conflict("L-conflict", account="clinic:42")
    # Then an account and a product that are not theirs see none of them
    for reach in ({"account_id": id_of("clinic:43")}, {"product": "pharmapulse_one"}):
        for lead_id in ("L-recorded", "L-waiting", "L-conflict"):
            assert find(lead_id, **reach) is None, (lead_id, reach)
    # And their own see each
    for reach in ({"account_id": id_of("clinic:42")}, {"product": "clinic_leads"}):
        assert [state(f"L-{name}", **reach) for name in ("recorded", "waiting", "conflict")] == [
            "charged", "pending", "conflict",
        ]  # fmt: skip


@pytest.mark.parametrize(
    "lead_id",
    ["L-1", "é", "日本", "🦷", "a/b", 'say "x"', "back\\slash", "a'b", "%", "_", 'é/\\"🦷'],
)
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(json.dumps, id="escaped"),
        pytest.param(lambda event: json.dumps(event, ensure_ascii=False), id="UTF-8"),
        pytest.param(lambda event: json.dumps(event).replace("/", "\\/"), id="slashes escaped"),
        pytest.param(lambda event: json.dumps(event, separators=(",", ":")), id="compact"),
        pytest.param(lambda event: json.dumps(event, indent=2), id="indented"),
    ],
)
def test_the_id_is_found_however_json_spells_it(lead_id: str, write: Writer) -> None:
    open_account()
    deliver(lead_id, write=write)

    assert state(lead_id) == "pending"


def test_escapes_may_be_written_in_capitals() -> None:
    open_account()
    deliver("é", write=lambda event: json.dumps(event).replace("\\u00e9", "\\u00E9"))

    assert state("é") == "pending"


def test_an_id_that_only_stands_somewhere_in_a_body_is_not_taken_for_the_lead() -> None:
    open_account()
    deliver("L-10")
    deliver("L-2", account="clinic:42")

    for not_a_lead in ("L-1", "clinic:42", "lead_id", "lead.created", "data"):
        assert find(not_a_lead) is None


@pytest.mark.parametrize(
    "body",
    [b'"L-1"', b'{"data": "L-1"}', b'{"data": {"lead_id": "L-1"}', b'\xff "L-1"', b'["L-1"]',
     b'{"data": {"lead_id": "L-1", "account": "clinic:42", "package_price_paise": "600000"}}',
     b"[" * 50_000 + b'"L-1"'],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_passed_over(body: bytes) -> None:
    open_account()
    deliver_body(body, state="dead")
    assert find() is None

    deliver()
    assert state() == "pending"


@pytest.mark.parametrize("lead_id", ["", " ", "a\x00b", "a\nb", "\ud800", "x" * 201, "x" * 100_000])
def test_an_id_that_cannot_be_recorded_is_unknown(lead_id: str) -> None:
    assert find(lead_id) is None


def test_what_is_done_is_not_searched() -> None:
    # Given a long past, and something that waits
    open_account()
    with owner() as connection:
        connection.exec_driver_sql(
            "INSERT INTO inbound_events (source, event_id, body_sha256, body, received_at, state,"
            " next_attempt_at) SELECT 'leads', 'old-' || n, '', 'x', now(), 'done', now()"
            " FROM generate_series(1, 20000) AS n"
        )
    deliver("L-1")
    deliver("L-2", state="dead")
    with owner() as connection:
        connection.exec_driver_sql("ANALYZE inbound_events")
    # When a lead is looked for that waits nowhere, then only what waits is read
    needles = {"needles": [b'"L-3"'], "sources": list(lead_status.SOURCES)}
    with transaction() as session:
        explained = text(f"EXPLAIN {lead_status._CANDIDATES.text}")
        plan = "\n".join(session.scalars(explained, needles))
    assert "Seq Scan" not in plan
    assert "pk_inbound_events" not in plan
    assert "ix_inbound_events_due" in plan
    assert "ix_inbound_events_dead" in plan
