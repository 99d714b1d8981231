"""`billing inbox` and `billing leads`: what came in, what became of it, and once more."""

import json
from datetime import datetime
from hashlib import sha256

import pytest

import clock
from db import deliveries
from db.deliveries import NewEvent
from db.session import transaction
from tasks.drain import work_one_batch
from tests.cli.runner import give, open_clinic, run, run_on_terminal

pytestmark = pytest.mark.usefixtures("database")


def record(body: bytes | None = None, *, event_id: str = "msg_1", lead_id: str = "L-1") -> int:
    """A delivery in the inbox; its number."""
    if body is None:
        body = json.dumps(
            {
                "type": "lead.created",
                "timestamp": "2026-11-01T10:00:00+05:30",
                "data": {
                    "lead_id": lead_id, "account": "clinic:42", "package_price_paise": 750_000,
                },
            }
        ).encode()  # fmt: skip
    with transaction() as session:
        deliveries.record(session, [NewEvent("leads", event_id, body, clock.now())])
    newest: int = run("inbox", "list", "--limit", "1", "--json").json[0]["id"]
    return newest


def test_a_new_event_is_pending() -> None:
    id_ = record()

    [listed] = run("inbox", "list", "--json").json

    assert datetime.fromisoformat(listed.pop("received_at")) <= clock.now()
    assert listed == {
        "id": id_, "source": "leads", "event_id": "msg_1", "type": None, "state": "pending",
        "outcome": None, "attempts": 0, "handled_at": None, "last_error": None,
        "lead_id": None, "account": None, "request_id": None,
    }  # fmt: skip


def test_an_event_is_shown_with_its_body() -> None:
    body = b'{"a": "\xc3\xa9", "b": "\xff\x00"}'
    id_ = record(body)

    shown = run("inbox", "show", str(id_), "--json").json

    assert shown["body"] == '{"a": "é", "b": "\\xff\x00"}'
    assert shown["body_sha256"] == sha256(body).hexdigest()
    assert (shown["id"], shown["state"], shown["leased_until"]) == (id_, "pending", None)


@pytest.mark.parametrize("body", [b"\x1b[2J\x1b]0;owned\x07", b"\r\x08\x7f", b"[/red]", b"\x00"])
def test_a_body_cannot_play_tricks_on_the_terminal(body: bytes) -> None:
    id_ = str(record(body))

    for ran, layout in (
        (run("inbox", "show", id_), "\t\n"),
        (run_on_terminal("inbox", "show", id_), "\n"),
    ):
        assert ran.exit_code == 0
        assert not any(ord(c) < 32 and c not in layout for c in ran.out)


def test_a_type_cannot_play_tricks_on_the_terminal() -> None:
    record(b'{"type": "\\u001b[31mred\\u0007"}')
    work_one_batch("leads")

    ran = run_on_terminal("inbox", "list")

    assert "ignored" in ran.out
    assert not any(ord(c) < 32 and c != "\n" for c in ran.out)


@pytest.mark.parametrize("id_", ["1", "0", "-1", str(10**30)])
def test_an_event_that_is_not_there_is_said_to_be_missing(id_: str) -> None:
    assert f"there is no inbound event {id_}" in run("inbox", "show", "--", id_).error


def test_a_dead_event_is_replayed_and_then_goes_through() -> None:
    # Given an event for an account that nobody opened yet
    id_ = record()
    work_one_batch("leads")
    [dead] = run("inbox", "list", "--state", "dead", "--json").json
    assert (dead["id"], dead["state"]) == (id_, "dead")
    assert "unknown account" in dead["last_error"]

    # When somebody opens it and replays the event
    open_clinic()
    give("1000")
    assert run("inbox", "replay", str(id_), "--json").json == {"replayed": [id_], "not_dead": []}

    # Then it is due again, and a worker charges the lead
    [pending] = run("inbox", "list", "--state", "pending", "--json").json
    assert (pending["attempts"], pending["handled_at"]) == (0, None)
    assert "unknown account" in pending["last_error"]
    assert work_one_batch("leads") == 1
    [done] = run("inbox", "list", "--state", "done", "--json").json
    assert (done["id"], done["type"], done["outcome"]) == (id_, "lead.created", "charged")
    assert run("balance", "clinic:42", "--json").json["balance"] == 820


def test_all_dead_events_are_replayed_at_once() -> None:
    dead = [record(b"{", event_id="msg_1"), record(b"[", event_id="msg_2")]
    work_one_batch("leads")
    record(event_id="msg_3")

    assert run("inbox", "replay", "--all-dead", "--json").json["replayed"] == dead
    assert len(run("inbox", "list", "--state", "pending", "--json").json) == 3


def test_only_dead_events_are_replayed_and_the_others_are_named() -> None:
    dead = record(b"{", event_id="msg_1")
    work_one_batch("leads")
    pending = record(event_id="msg_2")

    ran = run("inbox", "replay", str(dead), str(pending), "999", "--json")

    assert f"these are not dead: [{pending}, 999]" in ran.error
    assert json.loads(ran.out) == {"replayed": [dead], "not_dead": [pending, 999]}


def test_replaying_a_number_that_no_event_can_have_is_an_error() -> None:
    assert "not dead" in run("inbox", "replay", str(10**30)).error


def test_replay_wants_to_know_what() -> None:
    assert run("inbox", "replay").exit_code == 2
    assert run("inbox", "replay", "1", "--all-dead").exit_code == 2
    assert run("inbox", "replay", "one").exit_code == 2


def test_the_list_can_be_narrowed() -> None:
    ids = [record(event_id=f"msg_{n}") for n in range(3)]

    def listed(*options: str) -> list[int]:
        return [event["id"] for event in run("inbox", "list", *options, "--json").json]

    assert listed() == ids[::-1]
    assert listed("--limit", "2") == ids[:0:-1]
    assert listed("--state", "dead") == []
    assert listed("--source", "leads", "--state", "pending") == ids[::-1]
    assert listed("--source", "razorpay") == []
    assert run("inbox", "list", "--state", "lost").exit_code == 2
    assert "No events match" in run_on_terminal("inbox", "list", "--state", "dead").out


def test_leads_are_listed_with_what_became_of_them() -> None:
    # Given credit for one lead of two
    open_clinic()
    give("200")
    record(event_id="msg_1", lead_id="L-1")
    work_one_batch("leads")
    record(event_id="msg_2", lead_id="L-2")
    work_one_batch("leads")

    leads = run("leads", "list", "--json").json

    assert [(lead["lead_id"], lead["state"], lead["credits"]) for lead in leads] == [
        ("L-2", "parked", 180),
        ("L-1", "charged", 180),
    ]
    assert leads[0]["account"] == "clinic:42"
    assert leads[0]["package_price_paise"] == 750_000
    assert datetime.fromisoformat(leads[0]["occurred_at"]).isoformat() == (
        "2026-11-01T04:30:00+00:00"
    )
    assert [
        lead["lead_id"] for lead in run("leads", "list", "--state", "parked", "--json").json
    ] == ["L-2"]
    assert run("leads", "list", "--state", "lost").exit_code == 2
