"""A signed delivery is in the inbox, as it came, before the sender hears 2xx; and only once."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from threading import Barrier

import psycopg2
import pytest

import clock
from tests.conftest import owner_url
from tests.server_process import Answer
from tests.webhook_receiver.receiver_process import PATH, Delivery, ReceiverProcess, delivery

LEAD = (
    b'{"type": "lead.created", "timestamp": "2026-11-01T10:00:00+05:30",'
    b' "data": {"lead_id": "L-17", "account": "clinic:42", "package_price_paise": 750000}}\n'
)


def test_a_new_event_is_recorded_and_the_same_again_was_seen_before(
    receiver: ReceiverProcess,
) -> None:
    event = delivery(LEAD)

    first, second = receiver.post(event), receiver.post(event)

    assert (first.status, first.said) == (202, {"status": "recorded"})
    assert (second.status, second.said) == (200, {"status": "seen before"})
    assert len(receiver.rows_of(event.id)) == 1


def test_an_event_sent_again_later_has_another_signature_and_is_still_the_same(
    receiver: ReceiverProcess,
) -> None:
    first = delivery(LEAD, age_seconds=60)
    retry = delivery(LEAD, event_id=first.id)
    assert first.headers["webhook-signature"] != retry.headers["webhook-signature"]

    assert receiver.post(first).status == 202
    assert receiver.post(retry).status == 200


def test_a_row_holds_the_raw_bytes_and_the_time_of_arrival(receiver: ReceiverProcess) -> None:
    # Given JSON with blanks, an escape and a line feed that a parser would not give back
    body = b' {"b" : 1,\t"a": "\\u0041\\/", "b": 2}\r\n'
    event = delivery(body, age_seconds=100)
    before = clock.now()

    assert receiver.post(event).status == 202

    [row] = receiver.rows_of(event.id)
    assert (row.source, row.state, row.body) == ("leads", "pending", body)
    assert before <= row.received_at <= clock.now()


def test_a_known_id_with_another_body_is_a_row_of_its_own(receiver: ReceiverProcess) -> None:
    first = delivery(b'{"n": 1}')
    second = delivery(b'{"n": 2}', event_id=first.id)

    assert [receiver.post(first).status, receiver.post(second).status] == [202, 202]
    assert [receiver.post(first).status, receiver.post(second).status] == [200, 200]
    assert [row.body for row in receiver.rows_of(first.id)] == [b'{"n": 1}', b'{"n": 2}']


def test_the_same_event_sixteen_times_at_once_is_recorded_once(receiver: ReceiverProcess) -> None:
    for _ in range(5):
        event = delivery(LEAD)
        together = Barrier(16)

        def send(event: Delivery = event, together: Barrier = together) -> Answer:
            together.wait()
            return receiver.post(event)

        with ThreadPoolExecutor(16) as pool:
            answers = [answer.result() for answer in [pool.submit(send) for _ in range(16)]]

        assert sorted(answer.status for answer in answers) == [200] * 15 + [202]
        assert len(receiver.rows_of(event.id)) == 1


def test_many_events_at_once_are_each_recorded(receiver: ReceiverProcess) -> None:
    events = [delivery(LEAD) for _ in range(200)]

    with ThreadPoolExecutor(16) as pool:
        statuses = [answer.status for answer in pool.map(receiver.post, events)]

    assert statuses == [202] * 200
    assert all(len(receiver.rows_of(event.id)) == 1 for event in events[::20])


def test_one_connection_carries_many_events(receiver: ReceiverProcess) -> None:
    connection = receiver.connect()
    for event in [delivery(LEAD) for _ in range(5)]:
        connection.request("POST", PATH, event.body, event.headers)
        assert receiver.answer_of(connection).status == 202
    connection.close()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"not json", id="no JSON"),
        pytest.param(b"\xff\xfe{}", id="invalid UTF-8"),
        pytest.param(b"\x00", id="NUL"),
        pytest.param(b'{"type": "\\u0000"}', id="an escaped NUL"),
        pytest.param(b'{"type": "\\ud800"}', id="a lone surrogate"),
        pytest.param(b"[" * 100_000, id="nested too deeply"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="deep and well-formed"),
        pytest.param(b'{"n": ' + b"9" * 4_000 + b"}", id="a number of 4,000 digits"),
        pytest.param(b'{"n": ' + b"9" * 5_000 + b"}", id="a number of 5,000 digits"),
        pytest.param(json.dumps({"lead_id": "x" * 5_000}).encode(), id="a long id"),
    ],
)
def test_signed_garbage_is_recorded_for_people_to_look_at(
    receiver: ReceiverProcess, body: bytes
) -> None:
    event = delivery(body)

    assert receiver.post(event).status == 202
    assert [row.body for row in receiver.rows_of(event.id)] == [body]


@pytest.mark.parametrize("event_id", ["a b", "a.b", "'; DROP TABLE x; --", "%s", "{}", "x" * 255])
def test_any_printable_id_is_kept_as_it_is(receiver: ReceiverProcess, event_id: str) -> None:
    assert receiver.post(delivery(LEAD, event_id=event_id)).status == 202
    assert len(receiver.rows_of(event_id)) == 1


def test_a_repeat_of_an_event_whose_body_was_blanked_was_seen_before(
    receiver: ReceiverProcess, database_url: str
) -> None:
    # Given an event that was worked on, and whose body retention has blanked since
    event = delivery(LEAD)
    assert receiver.post(event).status == 202
    with closing(psycopg2.connect(owner_url(database_url))) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "UPDATE inbound_events SET state = 'done', outcome = 'charged' WHERE event_id = %s",
            (event.id,),
        )
        tomorrow = clock.now() + timedelta(days=1)
        cursor.execute("SELECT retention_blank(%s, %s, NULL, 10000)", (clock.now(), tomorrow))
        connection.commit()

    again = receiver.post(event)

    assert (again.status, again.said) == (200, {"status": "seen before"})
    [row] = receiver.rows_of(event.id)
    assert (row.state, row.body) == ("done", b"")
