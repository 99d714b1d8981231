"""The receiver beside broken neighbours: it never loses an event that it accepted."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from statistics import median

import psycopg2
import pytest
from alembic import command
from sqlalchemy import make_url

from db import migrate
from db.roles import VARIABLES
from devstack import ports
from tests.conftest import LEAD_SECRET, addresses_of, migrator_url, new_database, owner_url
from tests.stack_process import eventually
from tests.webhook_receiver.conftest import assert_keeps_secrets
from tests.webhook_receiver.receiver_process import ReceiverProcess, delivery, one_process

NO_SERVER = "postgresql://somebody:s3cr3t-pass@/billing?host=/nonexistent"


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never says a word, as a host that hangs does."""
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def closed_port() -> Iterator[int]:
    yield ports.find_free()


@pytest.mark.parametrize("broker", [closed_port, silent_server])
def test_without_redis_events_are_accepted_just_as_quickly(
    database: str, log_file: Path, broker: Callable[[], AbstractContextManager[int]]
) -> None:
    with (
        broker() as port,
        one_process(
            log_file, DATABASE_URL=database, REDIS_URL=f"redis://{ports.HOST}:{port}/0"
        ) as receiver,
    ):
        seconds = []
        for event in [delivery() for _ in range(5)]:
            started = time.monotonic()

            assert receiver.post(event).status == 202

            seconds.append(time.monotonic() - started)
            assert len(receiver.rows_of(event.id)) == 1
        assert median(seconds) < 1  # one may meet a busy machine
        assert receiver.get("/readyz").status == 200
        assert receiver.stop() == 0
    assert "Traceback" not in receiver.log


def test_without_postgres_the_sender_is_asked_to_come_again(log_file: Path) -> None:
    with one_process(log_file, DATABASE_URL=NO_SERVER) as receiver:
        answer = receiver.post(delivery())

        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "again" in answer.json["error"]
        # What is wrong with the request itself is answered without the database
        assert receiver.post(delivery(webhook_signature=None)).status == 401
        # It lives, but is not ready
        assert (receiver.get("/healthz").status, receiver.get("/readyz").status) == (200, 503)
        assert receiver.get("/readyz").json == {"error": "the database cannot be reached"}
    assert "s3cr3t-pass" not in receiver.log
    assert "Traceback" not in receiver.log
    assert_keeps_secrets(receiver, receiver.log)


def test_when_postgres_comes_back_so_does_the_receiver(log_file: Path) -> None:
    with new_database() as url, one_process(log_file, DATABASE_URL=url) as receiver:
        before, refused, after = delivery(), delivery(), delivery()
        assert receiver.post(before).status == 202

        # When the database throws everybody out and lets nobody in
        _let_in(url, allowed=False)
        assert receiver.post(refused).status == 503
        assert receiver.get("/readyz").status == 503

        # Then, once it does again, the next delivery is recorded, and the refused one too
        _let_in(url, allowed=True)
        eventually("it is ready again", lambda: receiver.get("/readyz").status == 200, seconds=5)
        assert [receiver.post(event).status for event in (after, refused, before)] == [
            202,
            202,
            200,
        ]


def test_it_is_not_ready_while_every_delivery_would_get_503(log_file: Path) -> None:
    with (
        new_database() as url,
        one_process(log_file, DATABASE_URL=url, BILLING_DATA_DIR=str(log_file)) as receiver,
    ):
        # Given one door with a secret: it is ready, and names the doors without
        ready = receiver.get("/readyz")
        assert (ready.status, ready.json) == (
            200,
            {
                "status": "ready",
                "without_secret": "RAZORPAY_WEBHOOK_SECRETS, STRIPE_WEBHOOK_SECRETS",
            },
        )
        # When the tables are not there
        command.downgrade(migrate.config(migrator_url(url)), "base")
        # Then it is as little ready as it can record
        assert receiver.post(delivery()).status == 503
        answer = receiver.get("/readyz")
        assert answer.status == 503
        assert "run `billing migrate`" in answer.json["error"]
        # And once they are, it is
        addresses = addresses_of(url)
        migrate.upgrade(
            {
                role: addresses[variable].replace("://", "+psycopg2://", 1)
                for role, variable in VARIABLES.items()
            }
        )
        assert receiver.get("/readyz").status == 200
        assert receiver.post(delivery()).status == 202


def test_a_receiver_without_any_secret_is_not_ready(database: str, log_file: Path) -> None:
    with one_process(
        log_file, DATABASE_URL=database, LEAD_WEBHOOK_SECRETS=None, BILLING_DATA_DIR=str(log_file)
    ) as receiver:
        answer = receiver.get("/readyz")

        assert answer.status == 503
        assert "LEAD_WEBHOOK_SECRETS" in answer.json["error"]
        assert receiver.get("/healthz").status == 200


def test_without_secrets_nothing_is_refused_for_good(database: str, log_file: Path) -> None:
    with one_process(
        log_file, DATABASE_URL=database, LEAD_WEBHOOK_SECRETS=None, BILLING_DATA_DIR=str(log_file)
    ) as receiver:
        sent = delivery()

        answer = receiver.post(sent)

        assert answer.status == 503
        assert "LEAD_WEBHOOK_SECRETS" in answer.json["error"]
        assert answer.headers["retry-after"]
        assert receiver.rows_of(sent.id) == []


@pytest.fixture(scope="module", autouse=True)
def misconfigured(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, ReceiverProcess]]:
    """Receivers that cannot start; launched early, since giving up takes them a while."""
    folder = tmp_path_factory.mktemp("misconfigured")
    nothing_set = {"DATABASE_URL": None, "REDIS_URL": None, "BILLING_DATA_DIR": str(folder)}
    receivers = {
        "nothing set": one_process(folder / "nothing.log", **nothing_set),
        "bad secret": one_process(folder / "secret.log", LEAD_WEBHOOK_SECRETS="whsec_c2hvcnQ="),
    }
    for receiver in receivers.values():
        receiver.launch()
    yield receivers
    for receiver in receivers.values():
        receiver.stop()


def test_what_is_not_set_stops_the_start_by_name(misconfigured: dict[str, ReceiverProcess]) -> None:
    receiver = misconfigured["nothing set"]

    assert receiver.process.wait(30) != 0

    assert "cannot start: DATABASE_URL is not set" in receiver.log
    assert "make run" in receiver.log
    assert "Traceback" not in receiver.log


def test_a_malformed_secret_stops_the_start_and_is_not_shown(
    misconfigured: dict[str, ReceiverProcess],
) -> None:
    receiver = misconfigured["bad secret"]

    assert receiver.process.wait(30) != 0

    assert "cannot start: LEAD_WEBHOOK_SECRETS: secret 1 must be whsec_" in receiver.log
    assert "c2hvcnQ=" not in receiver.log
    assert LEAD_SECRET not in receiver.log
    assert "Traceback" not in receiver.log


def _let_in(url: str, *, allowed: bool) -> None:
    name = make_url(url).database
    maintenance = make_url(owner_url(url)).set(database="postgres")
    address = maintenance.render_as_string(hide_password=False)
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allowed}')
        if not allowed:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
