"""What was refused, or is no lead, is found by the lead and the account that it names."""

from typing import Any

import pytest

import clock
from billing.leads import status
from db import inbox_operations
from db.inbox import Subject
from db.session import transaction
from tasks.disputes import calls as dispute_calls
from tasks.inbox import recorder, subjects
from tasks.leads import calls as lead_calls
from tasks.returns import calls as refund_calls
from tests.billing.given import open_account, rows
from tests.billing.payments.given import news, open_order, take_in
from tests.tasks.given import deliver, lead_event, work

FIELDS = {"lead_id": "L-1", "account": "clinic:42"}
BOTH = Subject("L-1", "clinic:42")
NOBODY = Subject()
CHARGE, MANY = lead_calls.PARAMETERS


def call(task: str = CHARGE, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The content of a whole call that was refused."""
    return {"type": "lead.created", "call": {"task": task, "args": args, "kwargs": kwargs}}


@pytest.mark.parametrize(
    ("content", "subject"),
    [
        ({"type": "x", "data": FIELDS}, BOTH),
        ({"type": "x", **FIELDS}, BOTH),
        ({"type": "x", "data": None, **FIELDS}, BOTH),
        ({"data": {**FIELDS, "lead_id": 17}}, Subject("17", "clinic:42")),
        ({"data": {**FIELDS, "lead_id": 10**30}}, Subject(None, "clinic:42")),
        ({"data": {**FIELDS, "lead_id": "a\x00b"}}, Subject(None, "clinic:42")),
        ({"data": {**FIELDS, "account": ["clinic:42"]}}, Subject("L-1")),
        ({"data": {**FIELDS, "account": "x" * 1_000}}, Subject("L-1")),
        (call(**FIELDS, sorce="typo"), BOTH),
        (call(CHARGE, "L-1", "clinic:42", 1, None, None, "more"), BOTH),
        (call(CHARGE, "L-1", lead_id="L-1", account="clinic:42"), BOTH),
        (call(CHARGE, "L-1", lead_id="L-2", account="clinic:42"), Subject(None, "clinic:42")),
        (call(CHARGE, [[]], lead_id=[[]], account="clinic:42"), Subject(None, "clinic:42")),
        (call(MANY, leads=FIELDS), BOTH),
        (call(MANY, [FIELDS], "more"), BOTH),
        (call(MANY, [FIELDS, FIELDS], "more"), NOBODY),
        (call("tasks.other", "L-1", "clinic:42"), NOBODY),
        ({"call": {"task": [], "args": 1, "kwargs": 2}}, NOBODY),
        ({"call": "L-1"}, NOBODY),
        ({}, NOBODY), ([FIELDS], NOBODY), ("L-1", NOBODY), (None, NOBODY),
    ],
)  # fmt: skip
def test_what_a_content_is_about_is_read_from_any_form(content: object, subject: Subject) -> None:
    assert subjects.find(content, lead_calls.PARAMETERS) == subject


@pytest.mark.parametrize("body", [b"", b"\xff", b"L-1", b"[" * 50_000])
def test_a_body_that_is_no_json_is_about_nothing_known(body: bytes) -> None:
    assert subjects.read(body) == NOBODY


def about() -> list[tuple[object, ...]]:
    return list(rows("SELECT state, lead_id, account_ref FROM inbound_events ORDER BY id"))


def refused(lead_id: str = "L-1", **reach: Any) -> str | None:
    """The reason that the API gives for a lead that is refused."""
    with transaction() as session:
        found = status.find_status(session, lead_id, **reach)
    assert found is None or found.state == "refused"
    return found.reason if found else None


@pytest.mark.usefixtures("database", "redis")
@pytest.mark.parametrize(
    ("task", "args", "kwargs"),
    [
        (CHARGE, (), {**FIELDS, "sorce": "typo"}),
        (CHARGE, ("L-1", "clinic:42", 1, None, None, 6), {}),
        (CHARGE, (), {**FIELDS, "source": "x" * 2_000_000}),
        (CHARGE, (), {**FIELDS, "sorce": "x" * 20_000_000}),
        (MANY, (), {"leads": [{**FIELDS, "source": "x" * 2_000_000}]}),
        (MANY, (), {"leads": FIELDS}),
    ],
)
def test_a_refused_call_is_found_by_its_lead_also_after_a_replay(
    task: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    open_account()

    recorder.record(lead_calls.read(task, "task-1", args, kwargs))

    assert about() == [("dead", "L-1", "clinic:42")]
    assert "RefusedCall: " in str(refused(product="clinic_leads"))
    assert refused(product="pharmapulse_one") is None
    # And if somebody replays it
    with transaction() as session:
        inbox_operations.replay(session, inbox_operations.dead_ids(session), now=clock.now())
    work("lead_calls")
    assert about() == [("dead", "L-1", "clinic:42")]
    assert "UnreadableEvent: " in str(refused(product="clinic_leads"))


@pytest.mark.usefixtures("database", "redis")
def test_an_event_with_a_mistyped_type_is_found_by_its_lead_until_the_lead_is_charged() -> None:
    open_account(credits_=1_000)
    deliver(lead_event() | {"type": "lead.craeted"})
    work()

    assert about() == [("ignored", "L-1", "clinic:42")]
    assert refused(product="clinic_leads") == status.NOT_A_LEAD
    assert refused(product="pharmapulse_one") is None

    deliver(lead_event(package_price_paise="x"))
    work()
    assert "UnreadableEvent" in str(refused())

    deliver(lead_event())
    work()
    with transaction() as session:
        found = status.find_status(session, "L-1")
    assert found is not None
    assert found.state == "charged"


@pytest.mark.usefixtures("database", "redis")
def test_calls_of_disputes_and_refunds_are_found_by_their_account() -> None:
    open_account()
    open_order()
    take_in(news())
    dispute: dict[str, Any] = {
        **FIELDS,
        "dispute_type": "wrong_number",
        "description": "nobody there",
    }
    refund: dict[str, Any] = {"payment_id": "pay_1", "reason": "x", "requested_by": "ops"}
    for number, arguments in enumerate((dispute, {**dispute, "evidnce": 1}, {**FIELDS})):
        recorder.record(dispute_calls.read(f"d-{number}", (), arguments))
    for number, arguments in enumerate((refund, {**refund, "amount_paise": 10**9})):
        recorder.record(refund_calls.read(f"r-{number}", (), arguments))

    work(dispute_calls.SOURCE)
    work(refund_calls.SOURCE)

    assert about() == [("dead", "L-1", "clinic:42")] * 3 + [
        ("done", None, "clinic:42"), ("dead", None, "clinic:42"),
    ]  # fmt: skip
