"""Lead events from the inbox: billed, ignored or dead with a reason; never stuck, never a crash."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from service.disclosure import fingerprint
from tests.billing.given import assert_ledger_is_clean, balance, open_account, rows
from tests.tasks.given import deliver, inbox_rows, lead_event, work

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def clinic(database: str) -> Iterator[None]:
    open_account(credits_=1_000)
    yield
    structlog.reset_defaults()


def test_a_lead_event_is_charged_and_its_row_done() -> None:
    deliver(lead_event())
    with capture_logs() as logs:
        work()
    assert inbox_rows() == [("done", "charged", "lead.created", None)]
    assert balance() == 820
    assert [line["event"] for line in logs] == ["Credit deduction: Clinic 42, Amount 180"]
    # The event says when it happened if the lead itself does not.
    assert rows("SELECT to_char(occurred_at, 'HH24:MI') FROM lead_charges") == [("04:30",)]


def test_a_repeat_is_done_without_a_deduction_or_a_log_line() -> None:
    deliver(lead_event())
    work()
    deliver(lead_event(), lead_event())
    with capture_logs() as logs:
        work()
    assert [row[1] for row in inbox_rows()] == ["charged", "repeated", "repeated"]
    assert balance() == 820
    assert logs == []


@pytest.mark.parametrize("source", [5, "", "s" * 201, "a\x00b", ["google-ads"], {"utm": "x"}])
def test_a_source_that_cannot_be_noted_does_not_stop_the_charge(source: object) -> None:
    deliver(lead_event(source=source))
    work()

    assert inbox_rows() == [("done", "charged", "lead.created", None)]
    assert rows("SELECT source FROM lead_charges") == [(None,)]
    assert balance() == 820


def test_a_conflict_is_dead_and_says_which_field_differs() -> None:
    deliver(lead_event(), lead_event(package_price_paise=700_000))
    work()
    assert inbox_rows()[1] == (
        "dead",
        None,
        "lead.created",
        "IdempotencyConflict: its key was recorded before with other content:"
        " package_price_paise was 600000 and is now 700000",
    )
    assert balance() == 820


def test_without_credit_the_row_is_done_and_the_lead_parked() -> None:
    deliver(*[lead_event(f"L-{i}") for i in range(7)])
    work()
    assert [row[1] for row in inbox_rows()] == ["charged"] * 5 + ["insufficient_credit"] * 2
    assert rows("SELECT state, count(*) FROM lead_charges GROUP BY 1 ORDER BY 1") == [
        ("charged", 5),
        ("parked", 2),
    ]
    assert balance() == 100
    assert_ledger_is_clean()


def test_an_event_of_another_type_is_ignored() -> None:
    deliver({"type": "lead.updated", "anything": 1})
    work()
    assert inbox_rows() == [("ignored", "not_a_lead", "lead.updated", None)]


def body(data: str) -> bytes:
    return (
        b'{"type":"lead.created","timestamp":"2026-11-21T10:00:00Z","data":' + data.encode() + b"}"
    )


LEAD = '"lead_id":"L-1","account":"clinic:42"'


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (
            lead_event(account="clinic:none"),
            f"UnknownAccount: unknown account {fingerprint('clinic:none')}",
        ),
        (lead_event(package_price_paise=-1), "data.package_price_paise: Input should be greater"),
        (lead_event(package_price_paise=1.5), "data.package_price_paise: Input should be a valid"),
        (lead_event(package_price_paise="5"), "data.package_price_paise: Input should be a valid"),
        (lead_event(package_price_paise=None), "data.package_price_paise: Input should be a valid"),
        (lead_event(lead_id="x" * 5_000), "data.lead_id: String should have at most 200"),
        (lead_event(lead_id="a\x00b"), "data.lead_id: must not hold control characters"),
        (lead_event(account=7), "data.account: Input should be a valid string"),
        (lead_event(occurred_at="soon"), "data.occurred_at: Input should be a valid datetime"),
        ({"type": "lead.created", "timestamp": "2026-11-21T10:00:00Z"}, "data: Field required"),
        (body("{}"), "data.lead_id: Field required; data.account: Field required"),
        ({**lead_event(), "timestamp": None}, "timestamp: Input should be a valid datetime"),
        ({**lead_event(), "timestamp": "2026-11-21T10:00:00"}, "timestamp: Input should have time"),
        ({**lead_event(), "type": 5}, "type: Input should be 'lead.created'"),
        ([], "body: Input should be an object"),
        ("lead", "body: Input should be an object"),
        (None, "body: Input should be an object"),
        (b"", "body: Invalid JSON"),
        (b"\xff\xfe\x00", "body: Invalid JSON"),
        (b"{" * 100_000, "body: Invalid JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "body: Invalid JSON: recursion limit"),
        (body("[" * 100_000 + "]" * 100_000), "body: Invalid JSON: recursion limit"),
        (body("{" + LEAD + ',"package_price_paise":' + "9" * 4_000 + "}"), "package_price_paise"),
        (body("{" + LEAD + ',"package_price_paise":1e400}'), "package_price_paise"),
        (body("{" + LEAD + ',"package_price_paise":NaN}'), "package_price_paise"),
        (body('{"lead_id":"\\ud800","account":"clinic:42"}'), "body: Invalid JSON"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_billed_is_dead_with_the_reason_and_stops_nobody(
    event: object, reason: str
) -> None:
    # Given the bad event between two good ones
    deliver(lead_event("before"), event, lead_event("after"))
    # When they are worked on
    work()
    # Then the bad one is dead with its reason, and the others are charged
    before, bad, after = inbox_rows()
    assert bad[0] == "dead"
    assert reason in str(bad[3])
    assert before[:2] == after[:2] == ("done", "charged")
    assert balance() == 1_000 - 2 * 180


def test_a_reason_never_repeats_what_the_sender_wrote() -> None:
    deliver(lead_event(lead_id=["patient 98765 43210"]))
    work()
    assert "98765" not in str(inbox_rows()[0][3])


@pytest.mark.parametrize("same_batch", [True, False])
def test_an_unknown_account_does_not_speak_for_the_lead(*, same_batch: bool) -> None:
    deliver(lead_event(account="clinic:24"))
    if not same_batch:
        work()
    deliver(lead_event())
    work()
    assert [row[:2] for row in inbox_rows()] == [("dead", None), ("done", "charged")]
    assert "UnknownAccount" in str(inbox_rows()[0][3])


def test_a_nul_in_the_type_is_dead_and_not_ignored() -> None:
    deliver({"type": "lead.created\x00", "anything": 1})
    work()
    assert inbox_rows()[0][0] == "dead"
