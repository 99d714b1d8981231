"""Health, slow clients, and the end of the process."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPException
from pathlib import Path
from threading import Event

import psycopg2
import pytest

from tests.conftest import new_database, owner_url
from tests.webhook_receiver.receiver_process import PATH, ReceiverProcess, delivery, one_process


@pytest.mark.parametrize(("path", "status"), [("/healthz", "alive"), ("/readyz", "ready")])
def test_it_tells_that_it_is_well(receiver: ReceiverProcess, path: str, status: str) -> None:
    answer = receiver.get(path)

    assert (answer.status, answer.json) == (200, {"status": status})


@pytest.mark.parametrize("sent_so_far", ["nothing", "half the headers", "half the body"])
def test_clients_that_stop_half_way_stand_in_nobodys_way(
    receiver: ReceiverProcess, sent_so_far: str
) -> None:
    # Given 130 clients that began a request and say no more: more than there were threads
    event = delivery(b'{"n": 1234567890}')
    head = "".join(f"{name}: {value}\r\n" for name, value in event.headers.items())
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(event.body)}\r\n\r\n"
    ).encode() + event.body
    length = {"nothing": 0, "half the headers": 60, "half the body": len(request) - 5}[sent_so_far]
    with ExitStack() as stack:
        stuck = [stack.enter_context(receiver.open_socket()) for _ in range(130)]
        for client in stuck:
            client.sendall(request[:length])

        # When others deliver
        started = time.monotonic()
        assert [receiver.post(delivery()).status for _ in range(20)] == [202] * 20
        assert time.monotonic() - started < 5

        # Then one that goes on after all is served too; the others just leave
        stuck[0].sendall(request[length:])
        assert receiver.answer_on(stuck[0]).status == 202
    assert len(receiver.rows_of(event.id)) == 1
    assert receiver.get("/healthz").status == 200


def test_a_client_that_leaves_before_the_end_records_nothing(receiver: ReceiverProcess) -> None:
    event = delivery(b"1" * 1_000)
    head = "".join(f"{name}: {value}\r\n" for name, value in event.headers.items())
    with receiver.open_socket() as client:
        client.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 1000\r\n\r\n".encode()
            + event.body[:500]
        )
    time.sleep(0.2)

    assert receiver.get("/healthz").status == 200
    assert receiver.rows_of(event.id) == []


def test_a_delivery_in_progress_at_sigterm_gets_its_answer(log_file: Path) -> None:
    # Given a delivery that waits for the database
    with new_database() as url, one_process(log_file, DATABASE_URL=url) as receiver:
        event = delivery()
        with closing(psycopg2.connect(owner_url(url))) as connection, ThreadPoolExecutor(1) as pool:
            cursor = connection.cursor()
            cursor.execute("LOCK TABLE inbound_events IN EXCLUSIVE MODE")
            posted = pool.submit(receiver.post, event)
            time.sleep(0.3)

            # When the receiver is to stop, and then the database goes on
            receiver.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert not posted.done()
            connection.rollback()

            # Then the sender is answered, and the receiver ends in order
            assert posted.result().status == 202
        assert receiver.process.wait(30) == 0
        assert len(receiver.rows_of(event.id)) == 1


def test_whatever_was_accepted_before_a_stop_is_in_the_table(log_file: Path) -> None:
    # Given eight senders that do not pause
    with new_database() as url, one_process(log_file, DATABASE_URL=url) as receiver:
        stopped = Event()

        def send() -> list[str]:
            accepted: list[str] = []
            while not stopped.is_set():
                event = delivery()
                try:
                    status = receiver.post(event).status
                except (OSError, HTTPException):
                    return accepted
                if status == 202:
                    accepted.append(event.id)
            return accepted

        with ThreadPoolExecutor(8) as pool:
            senders = [pool.submit(send) for _ in range(8)]
            time.sleep(0.7)
            receiver.process.send_signal(signal.SIGTERM)
            exit_code = receiver.process.wait(30)
            stopped.set()
            accepted = [event_id for sender in senders for event_id in sender.result()]

        assert exit_code == 0
        assert len(accepted) > 50
        assert set(accepted) <= receiver.event_ids()
        assert "Traceback" not in receiver.log
