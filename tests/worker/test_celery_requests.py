"""What a real worker shows of messages: events, logs and `inspect` hold ids and nothing private."""

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from celery import Celery
from redis import Redis

from service.disclosure import fingerprint
from tasks.ledger import check
from tests.billing.given import rows
from tests.stack_process import eventually
from tests.worker_process import WorkerProcess
from worker import celery_requests, redaction

PRIVATE = ["Asha", "98765", "asha@example.org"]
NAME, PHONE, MAIL = "Asha Rao", "+91 98765 43210", "asha@example.org"


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


class Watcher:
    """Collects every event that workers send, as Flower does."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self.events: list[dict[str, Any]] = []
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def of(self, uuid: str) -> dict[str, dict[str, Any]]:
        """The events of one task, by type."""
        return {event["type"]: event for event in list(self.events) if event.get("uuid") == uuid}

    def wait_for(self, kind: str, uuid: str) -> dict[str, Any]:
        """Wait for one event of a task."""
        found: dict[str, Any] = eventually(f"{kind} of {uuid}", lambda: self.of(uuid).get(kind))
        return found

    @contextmanager
    def watching(self) -> Iterator["Watcher"]:
        self._thread.start()
        self._ready.wait(10)
        time.sleep(0.5)  # its queue is bound by now
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        with self._app.connection_for_read() as connection:
            receiver = self._app.events.Receiver(connection, handlers={"*": self.events.append})
            self._ready.set()
            while not self._stop.is_set():
                try:
                    receiver.capture(limit=None, timeout=0.5, wakeup=False)
                except TimeoutError:
                    continue


@pytest.fixture
def stranger() -> Iterator[Celery]:
    """A Celery app that knows the broker and nothing else."""
    app = Celery("stranger", broker=os.environ["REDIS_URL"], set_as_current=False)
    yield app
    app.close()


def push(redis: Redis, headers: dict[str, Any], body: bytes) -> None:
    """Put a message on the queue of leads by hand, as no Celery would write it."""
    properties = {
        "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "leads"},
        "priority": 0, "body_encoding": "base64", "delivery_tag": os.urandom(8).hex(),
    }  # fmt: skip
    message = {
        "body": base64.b64encode(body).decode(), "content-encoding": "utf-8",
        "content-type": "application/json", "headers": headers, "properties": properties,
    }  # fmt: skip
    redis.lpush("leads", json.dumps(message))


@pytest.mark.usefixtures("database")
def test_what_a_sender_wrote_is_shown_nowhere(
    redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    with (
        WorkerProcess(tmp_path / "worker.log", app="tests.worker.failing_app") as worker,
        Watcher(stranger).watching() as watcher,
    ):
        send = stranger.send_task
        # Given calls by place and by name, with headers that would show what they hold
        by_place = send("tasks.leads.charge", ("L-1", "clinic:42", 600_000, NAME), queue="leads")
        by_name = send(
            "tasks.leads.charge",
            kwargs={"lead_id": PHONE, "account": "clinic:42", "source": MAIL, NAME: 1},
            queue="leads", argsrepr=NAME, kwargsrepr=MAIL, shadow=PHONE,
            root_id=NAME, parent_id=MAIL,
        )  # fmt: skip
        many = send(
            "tasks.leads.charge_many", kwargs={"leads": [{"lead_id": NAME}] * 3}, queue="leads"
        )
        failing = send("tests.fail", (NAME, MAIL), {"lead_id": "L-9", "why": PHONE}, queue="leads")
        # And messages that the worker cannot use
        send("tasks.lead.charge", kwargs={"lead_id": NAME, "note": MAIL}, queue="leads")
        good = {"task": "tasks.leads.charge", "id": "by-hand", "argsrepr": NAME}
        push(redis, good, f'{{"lead_id": "{NAME}"'.encode())
        push(redis, good, json.dumps([{"lead_id": MAIL}]).encode())
        push(redis, good, json.dumps([PHONE, {}, {}]).encode())
        push(redis, good, b"[" * 100_000)
        push(redis, {"task": "tasks.leads.charge", "expires": NAME}, b"[[], {}, {}]")
        push(redis, {**good, "expires": MAIL}, b"[[], {}, {}]")
        push(redis, {"x": NAME}, json.dumps({"note": MAIL}).encode())

        # Then events show ids and counts
        received = watcher.wait_for("task-received", by_place.id)
        assert received["args"] == "(L-1, clinic:42, …, …)"
        received = watcher.wait_for("task-received", by_name.id)
        assert received["name"] == "tasks.leads.charge"
        assert received["kwargs"] == "{lead_id: …, account: clinic:42, source: …, …}"
        received = watcher.wait_for("task-received", many.id)
        assert received["kwargs"] == "{leads: 3 leads}"
        # And of an error its kind and its place
        failed = watcher.wait_for("task-failed", failing.id)
        assert failed["exception"] == "ValueError"
        assert "failing_app.py" in failed["traceback"]
        # And the worker lives, and has logged what it discarded
        unknown = f"task_unknown {fingerprint('tasks.lead.charge')}"
        for text in (unknown, "task_rejected", "cannot be decoded"):
            eventually(f"{text} is logged", partial(worker.has_logged, text))
        # (the time after which one of them was to be dropped is no time)
        eventually("each call has its rows", lambda: len(inbox()) == 6)
        active = stranger.control.inspect(timeout=5).query_task(by_place.id)
        shown = f"{worker.log} {active} {watcher.events}"
        # And nothing that a sender wrote stands anywhere
        assert [word for word in PRIVATE if word in shown] == []
        drains = [e for e in watcher.events if e.get("name") == "tasks.inbox.drain"]
        assert {event["args"] for event in drains} == {"(lead_calls)"}
        assert worker.process.poll() is None


@pytest.mark.usefixtures("database", "redis")
def test_inspect_shows_ids_only(stranger: Celery, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        # Given a call that a stopped process holds
        [child] = worker.children()
        child.suspend()
        stranger.send_task("tasks.leads.charge", ("L-1", NAME), {"source": MAIL}, queue="leads")
        inspect = stranger.control.inspect(timeout=5)
        held = eventually("it is held", lambda: any((inspect.reserved() or {}).values()))
        assert held
        shown = str(inspect.reserved())
        child.resume()
    assert "L-1" in shown
    assert [word for word in PRIVATE if word in shown] == []


CALL: dict[str, Any] = {"task": "tasks.leads.charge", "id": "by-hand"}
LEAD = ["L-1", "clinic:42", 600_000]
EMPTY: list[Any] = [[], {}, {}]
MALFORMED: list[tuple[dict[str, Any], Any]] = [
    ({**CALL, "id": ["a"]}, EMPTY), ({**CALL, "id": {}}, EMPTY), ({**CALL, "id": 5}, EMPTY),
    ({**CALL, "id": None}, EMPTY), ({**CALL, "id": ""}, EMPTY), ({**CALL, "id": "x" * 201}, EMPTY),
    ({**CALL, "id": "a\nb"}, EMPTY), ({**CALL, "id": "a\x00b"}, EMPTY),
    ({**CALL, "id": "\ud800"}, EMPTY), ({"task": "tasks.leads.charge"}, EMPTY),
    ({**CALL, "task": ["a"]}, EMPTY), ({**CALL, "task": {}}, EMPTY), ({**CALL, "task": 5}, EMPTY),
    ({"task": "no.such.task"}, EMPTY), ({"task": "no.such.task", "id": ["a"]}, EMPTY),
    (CALL, 5), (CALL, None), (CALL, "args"), (CALL, {"args": 5}), (CALL, {"args": [], "kwargs": 5}),
    (CALL, [[], {}]), (CALL, [[], {}, 5]), (CALL, [[], {}, ["a"]]), (CALL, [[], {}, {"id": ["a"]}]),
    ({}, {"task": ["a"], "id": "x"}), ({}, {"task": "tasks.leads.charge", "id": ["a"]}),
    ({}, {"task": "tasks.leads.charge"}), ({}, {"task": "no.such.task"}),
    ({**CALL, "eta": [1]}, EMPTY), ({**CALL, "eta": "9999-12-31T23:59:59+00:00"}, [LEAD, {}, {}]),
    ({**CALL, "timelimit": 5}, [LEAD, {}, {}]), ({**CALL, "timelimit": ["a", "b"]}, [LEAD, {}, {}]),
    ({**CALL, "retries": ["a"], "group": {}, "stamps": 5, "origin": [], "lang": 5, "meth": []},
     [LEAD, {}, {}]),
    ({**CALL, "billing_copy": [1], "shadow": ["a"], "argsrepr": 5, "ignore_result": []},
     [LEAD, {}, {}]),
    ({**CALL, "stamped_headers": ["a", ["b"]], "stamps": {"a": 1}}, [LEAD, {}, {}]),
    # JSON reads these, and what gives them to the process that runs the task does not.
    ({**CALL, "billing_copy": nested(600)}, [LEAD, {}, {}]),
    (CALL, [nested(600), {}, None]),
    ({}, {**CALL, "args": nested(600), "kwargs": {}}),
    ({**CALL, "root_id": nested(600)}, [LEAD, {}, {}]),
    (CALL, [nested(600), {}, {"chain": nested(600)}]),
]  # fmt: skip
"""Headers and contents, each of which nobody's Celery writes."""


@pytest.mark.usefixtures("database")
def test_a_task_id_that_is_free_text_is_shown_as_its_digest_and_costs_no_lead(
    redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    with (
        WorkerProcess(tmp_path / "worker.log") as worker,
        Watcher(stranger).watching() as watcher,
    ):
        # Given calls whose senders made ids of names and numbers, one of them sent twice
        for task_id in (f"{NAME} {PHONE}", f"{NAME} {PHONE}", "98765-43210", MAIL):
            stranger.send_task("tasks.leads.charge", LEAD, queue="leads", task_id=task_id)
        push(redis, {**CALL, "retries": NAME, "stamps": {"a": MAIL}, "stamped_headers": ["a"]},
             json.dumps([LEAD, {}, {}]).encode())  # fmt: skip
        push(redis, {"task": PHONE, "id": NAME}, b"[[], {}, {}]")
        # When they have been recorded, each once
        eventually("each has its row", lambda: len(ids_of_rows()) == 4)
        eventually("the unknown task is logged", partial(worker.has_logged, "task_unknown"))
        eventually("all are done", lambda: redis.hlen("unacked") == 0)
        # Then worker, events and rows know them by another name, the same one everywhere
        written_about = redaction.task_id(f"{NAME} {PHONE}")
        watcher.wait_for("task-succeeded", written_about)
        assert (written_about,) in ids_of_rows()
        shown = f"{worker.log} {watcher.events} {ids_of_rows()}"
    assert [word for word in [*PRIVATE, "43210"] if word in shown] == []


KOMBU: dict[str, Any] = {
    "body": "W10=", "content-encoding": "utf-8", "content-type": "application/json",
    "headers": CALL,
    "properties": {
        "delivery_info": {"exchange": "", "routing_key": "leads"}, "delivery_tag": "tag",
        "priority": 0, "body_encoding": "base64",
    },
}  # fmt: skip


def with_property(name: str, value: object) -> str:
    return json.dumps({**KOMBU, "properties": {**KOMBU["properties"], name: value}})


NO_MESSAGES = [
    "no JSON", "5", "[]", "null", "{}", json.dumps({"body": 5}), "[" * 5_000,
    json.dumps({**KOMBU, "properties": 5}), json.dumps({**KOMBU, "headers": [1]}),
    json.dumps({**KOMBU, "body": [1]}), json.dumps({**KOMBU, "headers": {"a": nested(600)}}),
    with_property("delivery_info", 5), with_property("delivery_tag", ["a"]),
    with_property("body_encoding", ["a"]), with_property("body_encoding", "rot13"),
]  # fmt: skip
"""What can be pushed to a list, or published, without being a message of kombu's."""


@pytest.mark.usefixtures("database")
def test_what_is_no_message_at_all_is_discarded_and_ends_no_worker(
    redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    # Given things on the list that nobody's kombu writes, and a good call behind them
    redis.lpush("leads", *NO_MESSAGES)
    stranger.send_task("tasks.leads.charge", LEAD, queue="leads", task_id="good")
    # When a worker takes them, and gets some as orders too
    with WorkerProcess(tmp_path / "worker.log") as worker:
        eventually("the good one has its row", lambda: ("good",) in ids_of_rows())
        channel = f"/{redis.connection_pool.connection_kwargs.get('db', 0)}.celery.pidbox"
        assert min(redis.publish(channel, order) for order in NO_MESSAGES) == 1
        # Then it is still the same worker, it still obeys, and nothing of them is left
        assert stranger.control.inspect(timeout=5).ping()
        eventually("nothing is held", lambda: redis.hlen("unacked") == 0)
        assert worker.process.poll() is None
        discarded = worker.log.count("message discarded: not in kombu's form")
        assert discarded == 2 * len(NO_MESSAGES)
        assert "no JSON" not in worker.log
        assert redis.llen("leads") == 0


@pytest.mark.usefixtures("database")
def test_no_message_ends_the_worker_or_stays_in_its_way(
    redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    # Given messages of every wrong form, and a good one behind them
    for headers, content in MALFORMED:
        push(redis, headers, json.dumps(content).encode())
    stranger.send_task("tasks.leads.charge", LEAD, queue="leads", task_id="good")
    # When a worker takes them
    with WorkerProcess(tmp_path / "worker.log") as worker:
        eventually("the good one has its row", lambda: ("good",) in ids_of_rows())
        # Then it is still the same worker, and what it could not use is acknowledged
        eventually("nothing is held", lambda: redis.hlen("unacked") == 0)
        assert worker.process.poll() is None
        assert "Unrecoverable" not in worker.log
        assert worker.log.count("message discarded: ") >= 27
        assert "Traceback" not in worker.log


NEXT = {"task": "tests.fail", "args": [NAME], "kwargs": {"why": PHONE}, "options": {}}
EMBEDDED: dict[str, Any] = {
    "callbacks": [NEXT], "errbacks": [NEXT], "chain": [NEXT],
    "chord": {**NEXT, "options": {"task_id": MAIL}}, MAIL: 1, "id": "another-id", "retries": 9,
}  # fmt: skip
FAR = "2999-01-01T00:00:00+00:00"
WISHES: dict[str, Any] = {
    "eta": FAR, "expires": "2020-01-01T00:00:00+00:00", "group": MAIL, "group_index": 3,
    "retries": 10**9, "timelimit": [1, 1], "reply_to": NAME, "replaced_task_nesting": 10**6,
    "ignore_result": False, "stamps": {"a": MAIL}, "stamped_headers": ["a"], "origin": MAIL,
    "headers": {"x": NAME}, "properties": {"reply_to": NAME}, "delivery_info": {"x": MAIL},
}  # fmt: skip


@pytest.mark.usefixtures("database")
def test_what_a_message_asks_for_beyond_its_task_is_dropped_and_the_task_runs_now(
    redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    with (
        WorkerProcess(tmp_path / "worker.log", app="tests.worker.failing_app") as worker,
        Watcher(stranger).watching() as watcher,
    ):
        # Given calls with everything that Celery would obey, in each of its forms
        push(redis, {**CALL, "id": "form-2", **WISHES}, json.dumps([LEAD, {}, EMBEDDED]).encode())
        for wish in ("eta", "expires"):  # and those that Celery cannot read
            push(redis, {**CALL, "id": f"bad-{wish}", wish: [MAIL]},
                 json.dumps([LEAD, {}, None]).encode())  # fmt: skip
        older = {**CALL, "id": "form-1", "args": LEAD, "kwargs": {}, **WISHES, **EMBEDDED}
        older["id"] = "form-1"
        push(redis, {}, json.dumps(older).encode())
        link = stranger.signature("tests.fail", args=(NAME,), queue="leads")
        stranger.send_task(
            "tasks.leads.charge", LEAD, queue="leads", task_id="of-celery", countdown=10**8,
            link=link, link_error=link, chain=[link], expires=FAR,
        )  # fmt: skip
        # And one that fails, with what is to run after a failure
        stranger.send_task("tests.fail", queue="leads", task_id="fails", link_error=link)
        # When a worker takes them
        calls = {"form-2", "bad-eta", "bad-expires", "form-1", "of-celery"}
        eventually("each has its row", lambda: {str(row[0]) for row in ids_of_rows()} >= calls)
        watcher.wait_for("task-failed", "fails")
        eventually("nothing is held", lambda: redis.hlen("unacked") == 0)
        # Then none waits, and nothing else has run
        assert not any((stranger.control.inspect(timeout=5).scheduled() or {}).values())
        ran = {e["uuid"] for e in watcher.events if e["type"] == "task-received"}
        assert {e["uuid"] for e in watcher.events if e.get("name") == "tests.fail"} == {"fails"}
        assert calls <= ran
        # And one line says so of each, with names of Celery's only
        lines = [json.loads(line) for line in worker.log.splitlines() if "message runs now" in line]
        of = {line["task_id"]: line for line in lines}
        assert len(lines) == len(of) == 6
        assert of["of-celery"]["dropped"] == ["callbacks", "chain", "errbacks", "eta", "expires"]
        assert of["bad-eta"]["dropped"] == ["eta"]
        assert set(of["form-2"]["dropped"]) >= {"chord", "group", "retries", "stamps", "timelimit"}
        assert of["fails"]["length"] > 0
        shown = f"{worker.log} {watcher.events}"
    assert [word for word in [*PRIVATE, "another-id"] if word in shown] == []


def test_the_limits_that_celery_writes_of_a_task_itself_are_no_wish() -> None:
    task = check
    own = [task.time_limit, task.soft_time_limit]
    assert None not in own
    for given, dropped in ((own, {}), ([1, 1], {"timelimit": [1, 1]})):
        message = SimpleNamespace(headers={"timelimit": given}, payload=[[], {}, {}])
        options: dict[str, Any] = {"task": task}
        assert celery_requests._drop_wishes(message, options) == dropped
        assert options["headers"] == {}


@pytest.mark.usefixtures("database")
def test_messages_for_a_far_time_do_not_stay_in_the_memory_of_the_worker(
    redis: Redis, tmp_path: Path
) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        memory = psutil.Process(worker.process.pid).memory_info
        push(redis, {**CALL, "id": "first", "eta": FAR}, json.dumps([LEAD, {}, {}]).encode())
        eventually("it works", lambda: ("first",) in ids_of_rows())
        before = memory().rss
        # Given 60 MB of messages for a time that does not come
        content = json.dumps([["L-1", "x" * 200_000], {}, {"chain": [NEXT]}]).encode()
        for number in range(300):
            push(redis, {**CALL, "id": f"far-{number}", "eta": FAR}, content)
        # When they are all taken
        eventually("all are rows", lambda: len(ids_of_rows()) == 301, seconds=120)
        # Then the worker is as large as before
        assert memory().rss - before < 20_000_000
        assert worker.process.poll() is None


@pytest.mark.usefixtures("database")
def test_a_tick_that_is_too_old_is_still_dropped(
    redis: Redis, stranger: Celery, tmp_path: Path
) -> None:
    old = "2020-01-01T00:00:00+00:00"
    push(redis, {"task": "tasks.inbox.sweep", "id": "old", "expires": old}, b"[[], {}, {}]")
    with (
        WorkerProcess(tmp_path / "worker.log"),
        Watcher(stranger).watching() as watcher,
    ):
        push(redis, {"task": "tasks.inbox.sweep", "id": "old-2", "expires": old}, b"[[], {}, {}]")
        stranger.send_task("tasks.inbox.sweep", queue="leads", task_id="new", expires=300)
        watcher.wait_for("task-succeeded", "new")
        watcher.wait_for("task-revoked", "old-2")
        assert "task-succeeded" not in watcher.of("old-2")


def ids_of_rows() -> list[tuple[object, ...]]:
    return list(rows("SELECT event_id FROM inbound_events"))


def inbox() -> list[tuple[object, ...]]:
    return list(rows("SELECT event_id, state FROM inbound_events"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("L-17", True), ("clinic:42", True), ("pay_29QQoUBi66xm2f", True), ("123456789", True),
        ("6a1f0d2c-58d5-4d3f-9f0a-0b8a3f4f7c11", True),
        ("9876543210", False), ("98765-43210", False), ("98.765.432.10", False), ("", False),
        ("asha@example.org", False), ("Asha Rao", False), ("x" * 65, False), ("L-1\n", False),
        ("ಆಶಾ", False), (5, False), (None, False), (["L-1"], False),
    ],
)  # fmt: skip
def test_only_what_looks_like_an_id_is_shown(value: object, *, shown: bool) -> None:
    assert redaction.shown_id(value) == (value if shown else redaction.HIDDEN)
