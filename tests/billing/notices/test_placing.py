"""Fan-out: positions in commit order, sequences of accounts, bytes, and a row for each endpoint."""

import json
from datetime import timedelta
from threading import Event, Thread

import pytest

import clock
from billing import notices
from billing.topics import CATALOGUE, Topic
from db import outbox
from db.outbox import NewNotice
from db.session import transaction
from tests.billing.given import at_once, open_account, rows
from tests.billing.notices.given import START, at, endpoint, fan_out, states, write

pytestmark = pytest.mark.usefixtures("books")


def test_transactions_that_commit_in_reverse_are_both_seen_by_a_reader_by_position() -> None:
    # Given a transaction that wrote its notice first and is still open
    written, go_on = Event(), Event()

    def slow() -> None:
        with transaction() as session:
            _write(session, "slow")
            written.set()
            go_on.wait(10)

    thread = Thread(target=slow)
    thread.start()
    written.wait(10)

    # When a later one commits before it, and a reader has seen that one
    with transaction() as session:
        _write(session, "fast")
    fan_out()
    seen = _subjects_after(0)
    go_on.set()
    thread.join()
    fan_out()

    # Then the reader finds the other one after it, and the ids say the opposite
    assert seen == ["fast"]
    assert _subjects_after(1) == ["slow"]
    assert rows("SELECT subject FROM outbox_events ORDER BY id") == [("slow",), ("fast",)]


def test_fan_outs_at_once_give_every_notice_one_position_without_a_gap() -> None:
    for ref in ("clinic:1", "clinic:2"):
        open_account(ref)
    endpoint()
    write(*["clinic:1", "clinic:2", None] * 100)

    at_once(*[fan_out] * 4)

    positions = [n for (n,) in rows("SELECT position FROM outbox_events ORDER BY position")]
    assert positions == list(range(1, 301))
    for ref in ("clinic:1", "clinic:2"):
        assert rows(
            "SELECT sequence FROM outbox_events o JOIN accounts a ON a.id = o.account_id"
            " WHERE a.ref = :ref ORDER BY position",
            ref=ref,
        ) == [(n,) for n in range(1, 101)]
    assert rows("SELECT count(*), count(DISTINCT notice_id) FROM notice_deliveries") == [(200, 200)]


def test_a_fan_out_that_is_killed_has_given_nothing_away() -> None:
    open_account()
    write("clinic:42", "clinic:42")

    with pytest.raises(KeyboardInterrupt), transaction() as session:
        notices.fan_out(session, now=clock.now())
        raise KeyboardInterrupt
    assert rows("SELECT 1 FROM outbox_events WHERE position IS NOT NULL") == []

    assert fan_out() == 2
    assert rows("SELECT position, sequence FROM outbox_events ORDER BY id") == [(1, 1), (2, 2)]


def test_a_batch_says_that_there_is_more() -> None:
    write(*[None] * 501)
    with transaction() as session:
        first = notices.fan_out(session, now=clock.now())
    with transaction() as session:
        second = notices.fan_out(session, now=clock.now())
    assert (first.placed, first.more, second.placed, second.more) == (500, True, 1, False)


def test_the_body_holds_the_declared_fields_and_nothing_else() -> None:
    with at():
        open_account()
        write("clinic:42", topic="lead.parked", lead_id="L-1", patient="Asha, 98200 00000")
        fan_out()
    ((body,),) = rows("SELECT body FROM outbox_events")
    assert isinstance(body, memoryview)
    text = bytes(body).decode()
    assert text.startswith('{"type":"lead.parked","timestamp":"2026-11-01T06:30:00Z","data":{"acc')
    data = json.loads(text)["data"]
    assert (data["account"], data["sequence"], data["lead_id"]) == ("clinic:42", 1, "L-1")
    assert tuple(data) == CATALOGUE[Topic.LEAD_PARKED].fields
    assert "Asha" not in text


def test_what_was_superseded_or_rolled_back_is_never_placed() -> None:
    open_account()
    endpoint()
    with transaction() as session:
        old = NewNotice("balance.low", "account:x", None, {}, superseded=True)
        outbox.write(session, [old], now=clock.now())
    with pytest.raises(KeyboardInterrupt), transaction() as session:
        _write(session, "rolled back")
        raise KeyboardInterrupt
    assert fan_out() == 0


def test_a_topic_of_a_newer_version_is_left_to_it_and_holds_nothing_up() -> None:
    write(None, topic="lead.teleported")
    write(None)
    assert fan_out() == 1


def test_an_endpoint_is_sent_what_it_asked_for_of_its_product_since_it_was_added() -> None:
    with at():
        for ref in ("clinic:1", "clinic:2"):
            open_account(ref)
        write("clinic:1")  # placed later, and older than the endpoints
        clock.advance(START - START.replace(minute=29))
        all_of_product = endpoint()
        of_account = endpoint(account="clinic:2")
        leads_too = endpoint(topics=["lead.charged", "balance.*"])
        other_product = endpoint(product="pharmapulse_one")
        listener = endpoint(product=None, lease_until=clock.real_now() + timedelta(minutes=1))
        write("clinic:1", "clinic:2")
        write("clinic:1", topic="lead.charged")
        write(None, topic="gateway.silent", gateway="razorpay")
        fan_out()
    sent = {
        id_: rows(
            "SELECT o.topic, a.ref FROM notice_deliveries d"
            " JOIN outbox_events o ON o.id = d.notice_id JOIN accounts a ON a.id = o.account_id"
            " WHERE endpoint_id = :id ORDER BY d.position",
            id=id_,
        )
        for id_ in (all_of_product, of_account, leads_too, other_product, listener)
    }
    both = [("lead.parked", "clinic:1"), ("lead.parked", "clinic:2")]
    assert sent[all_of_product] == both
    assert sent[of_account] == both[1:]
    assert sent[leads_too] == [("lead.charged", "clinic:1")]
    assert sent[other_product] == []
    assert sent[listener] == both


def test_an_endpoint_that_is_off_gets_skipped_rows_and_a_removed_one_none() -> None:
    open_account()
    off, removed = endpoint(), endpoint()
    with transaction() as session:
        notices.endpoints.disable(session, off, reason="holidays")
        notices.endpoints.remove(session, removed)
    write("clinic:42")
    fan_out()
    assert states(off) == [("skipped", 0)]
    assert rows("SELECT last_error FROM notice_deliveries") == [("off: holidays",)]
    assert states(removed) == []


def _write(session: object, subject: str) -> None:
    outbox.write(session, [NewNotice("lead.parked", subject, None, {})], now=clock.now())  # type: ignore[arg-type]


def _subjects_after(position: int) -> list[object]:
    found = rows(
        "SELECT subject FROM outbox_events WHERE position > :after ORDER BY position",
        after=position,
    )
    return [subject for (subject,) in found]
