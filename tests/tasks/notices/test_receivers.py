"""Receivers of every kind at once, and one real worker that sends them notices over TLS.

Slow for its subject: a call may take 15 seconds, and two receivers use them up.
"""

import json
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import trustme
from sqlalchemy import text
from standardwebhooks import Webhook

from billing import notices
from billing.notices.ladder import MAX_TRIES, WAITS
from db.session import transaction
from tasks.plumbing import nudges
from tests.billing.given import open_account, rows
from tests.billing.notices import given
from tests.notify.http.hostile import (
    OK,
    Behaviour,
    Receiver,
    drips,
    hangs,
    receiving,
    resets,
    says,
    status,
)
from tests.stack_process import eventually
from tests.worker_process import WorkerProcess

REBINDING = "resolves to a global address, then to loopback"
DOMAIN = ".receivers.example"
"""`internet.py` leads its names to this computer."""
PATIENCE_SECONDS = 120
"""It takes about 20 on an idle machine."""
STRANGERS_WORDS = b"words-of-a-stranger"
RETRY_AFTER = timedelta(hours=2)
LATE = timedelta(seconds=5)
"""Between the end of a call and the row that it is written to, on a busy machine."""


@dataclass(frozen=True)
class Kind:
    """What a receiver does, request by request, the last for ever; and what must come of it."""

    behaviours: Sequence[Behaviour]
    state: str
    attempts: tuple[int, int]
    """Of its two notices, fewest first."""
    first_error: str | None
    """Of the first call that failed."""
    last_error: str | None = None
    requests: int = MAX_TRIES * 2
    """How many arrive."""


def kinds(trap: Receiver) -> Mapping[str, Kind]:
    """Each kind of receiver; a redirect leads to the trap."""
    to_the_trap = f"Location: https://trap{DOMAIN}:{trap.port}/"
    to_rest = f"Retry-After: {RETRY_AFTER.seconds}"
    huge = status("200 OK", body=STRANGERS_WORDS + b"x" * 10_000_000)
    private = "the name leads to an address that is not public (NOTICE_ALLOW_CIDRS)"
    slow = "no answer within 15 seconds"
    return {
        "works": Kind([says(OK)], "done", (1, 1), None, requests=2),
        "answers after more than 15 s": Kind(
            [hangs, says(OK)], "done", (1, 2), slow, requests=3
        ),
        "drips header bytes": Kind(
            [drips(first=b"HTTP/1.1 200 OK\r\nX-Slow: "), says(OK)], "done", (1, 2), slow,
            requests=3,
        ),
        "answers 500": Kind(
            [status("500 Oops", body=STRANGERS_WORDS)], "dead", (10, 10), "status 500",
            "status 500",
        ),
        "answers 301": Kind(
            [status("301 Moved", to_the_trap, body=STRANGERS_WORDS)], "dead", (10, 10),
            "status 301, not followed", "status 301, not followed",
        ),
        "answers 410": Kind(
            [status("410 Gone"), says(OK)], "skipped", (0, 1),
            "off: it answered 410 Gone (last: status 410)", "off: it answered 410 Gone",
            requests=1,
        ),
        "answers 429, Retry-After 2 h": Kind(
            [status("429 Slow down", to_rest), says(OK)], "done", (1, 2), "status 429", requests=3
        ),
        "answers 10 MB": Kind([huge], "done", (1, 1), None, requests=2),
        "resets the connection": Kind(
            [resets, says(OK)], "done", (1, 2), "the connection was closed before an answer",
            requests=3,
        ),
        "has a certificate for another name": Kind(
            [says(OK)], "dead", (10, 10), "the certificate is for another name",
            "the certificate is for another name", requests=0,
        ),
        REBINDING: Kind(
            [status("500 Oops", "Connection: close")], "dead", (10, 10), "status 500", private,
            requests=1,
        ),
    }  # fmt: skip


HOSTS = {"has a certificate for another name": "wrong", REBINDING: "rebinding"}
"""Names with a meaning of their own; the others are numbered."""


@dataclass(frozen=True)
class Delivery:
    """A row of `notice_deliveries`, with the time when its last call ended."""

    id: int
    notice_id: int
    endpoint_id: int
    state: str
    attempts: int
    next_attempt_at: datetime
    last_error: str | None
    called_until: datetime | None


@dataclass(frozen=True)
class Endpoint:
    """A kind of receiver at its address."""

    kind: str
    expected: Kind
    receiver: Receiver
    secret: str


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return made


@pytest.fixture
def books(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given.set_web_secrets(monkeypatch, given.WEB_SECRET)


@pytest.mark.usefixtures("books", "redis")
def test_each_kind_of_receiver_gets_each_notice_or_it_is_dead_with_its_reason(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given receivers of each kind, when the ladder's time goes by, each notice ends as it must."""
    with ExitStack() as stack:
        trap = stack.enter_context(receiving(says(OK)))
        inside = stack.enter_context(receiving(says(OK)))  # a service of our own network
        endpoints = {
            endpoint_id: endpoint
            for number, (kind, expected) in enumerate(kinds(trap).items())
            for endpoint_id, endpoint in [
                _endpoint(
                    stack,
                    authority,
                    number,
                    kind,
                    expected,
                    port=inside.port if kind == REBINDING else None,
                )
            ]
        }
        [rebinding] = [e for e in endpoints.values() if e.kind == REBINDING]
        account = open_account()
        written = given.write(account, account, topic="lead.parked", lead_id="L-1", credits=180)
        worker = stack.enter_context(
            WorkerProcess(
                tmp_path / "notices.log",
                app="tests.tasks.notices.internet",
                name="notices",
                INTERNET_DOMAIN=DOMAIN,
                INTERNET_ROUTES=f"{inside.port}:{rebinding.receiver.port}",
                SSL_CERT_FILE=str(tmp_path / "authority.pem"),
                HTTPS_PROXY=f"http://127.0.0.1:{trap.port}",
                https_proxy=f"http://127.0.0.1:{trap.port}",
            )
        )
        _climb(endpoints)
        _check_outcomes(endpoints, written)
        # And what the endpoint that went off has missed still arrives, under the same ids
        [(endpoint_id, gone)] = [e for e in endpoints.items() if "410" in e[1].kind]
        _switch_on_and_replay(endpoint_id)
        eventually("it has all", lambda: len(gone.receiver.requests) == 1 + len(written))
        assert {_parts(r)[0]["webhook-id"] for r in gone.receiver.requests[1:]} == _ids(written)
        log = worker.log
    # And nothing went where it must not: no redirect, no proxy, no second look-up
    assert trap.connections == 0
    assert inside.connections == 0
    assert rebinding.receiver.connections == 1
    # And nothing that strangers said is anywhere but in the first kilobyte that operators see
    assert STRANGERS_WORDS.decode() not in log
    assert "of-the-path" not in log
    heads = [bytes(head) for (head,) in rows("SELECT response_head FROM notice_attempts") if head]  # type: ignore[call-overload]
    assert max(map(len, heads)) == 1024
    assert "a fault of ours" not in log


def _check_outcomes(endpoints: Mapping[int, Endpoint], written: Sequence[int]) -> None:
    """Each has its outcome, and its first failure is kept in our words."""
    sys.stdout.write(_table(endpoints))
    for endpoint_id, endpoint in endpoints.items():
        ends = sorted(
            (d for d in _deliveries() if d.endpoint_id == endpoint_id), key=lambda d: d.attempts
        )
        expected = endpoint.expected
        assert [d.state for d in ends] == [expected.state] * 2, endpoint.kind
        assert tuple(d.attempts for d in ends) == expected.attempts, endpoint.kind
        assert {d.last_error for d in ends} <= {expected.last_error, expected.first_error}
        assert _first_error(endpoint_id) == expected.first_error, endpoint.kind
        _check_requests(endpoint, written)


def _switch_on_and_replay(endpoint_id: int) -> None:
    with transaction() as session:
        notices.endpoints.enable(session, endpoint_id)
        missed = notices.Missed(states=("skipped",))
        assert notices.replay(session, missed=missed, endpoint_id=endpoint_id, dry_run=False) == 2
    nudges.send_notices()


def _ids(written: Sequence[int]) -> set[str]:
    return {f"ntc_{id_}" for id_ in written}


def _endpoint(
    stack: ExitStack,
    authority: trustme.CA,
    number: int,
    kind: str,
    expected: Kind,
    *,
    port: int | None,
) -> tuple[int, Endpoint]:
    """`port`: of its address, if it is not the one that it listens on."""
    host = f"{HOSTS.get(kind, f'shop-{number}')}{DOMAIN}"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown = f"other{DOMAIN}" if host.startswith("wrong") else host
    authority.issue_cert(shown).configure_cert(context)
    receiver = stack.enter_context(receiving(*expected.behaviours, tls=context))
    with transaction() as session:
        made = notices.endpoints.add(
            session, url=f"https://{host}:{port or receiver.port}/hooks?key=of-the-path",
            product="clinic_leads", actor="ops",
        )  # fmt: skip
    return made.endpoint_id, Endpoint(kind, expected, receiver, made.secret)


def _climb(endpoints: Mapping[int, Endpoint]) -> None:
    """Check each wait that is written, then let its time have passed, until nothing waits."""
    checked: set[tuple[int, int]] = set()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while waiting := _waiting():
        for delivery in waiting:
            if delivery.attempts and (delivery.id, delivery.attempts) not in checked:
                checked.add((delivery.id, delivery.attempts))
                _check_wait(delivery, endpoints[delivery.endpoint_id])
        with transaction() as session:
            for delivery in waiting:
                session.execute(_TIME_PASSES, {"id": delivery.id, "attempts": delivery.attempts})
            session.execute(_PAUSES_END)
        nudges.send_notices()
        assert time.monotonic() < give_up_at, waiting
        time.sleep(0.1)
    assert len(checked) >= 4 * 2 * (MAX_TRIES - 1) - 1, "not every step was seen"


def _waiting() -> list[Delivery]:
    deliveries = _deliveries()
    return [d for d in deliveries if d.state == "pending"] or ([] if deliveries else [_NONE_YET])


_NONE_YET = Delivery(0, 0, 0, "pending", 0, datetime.max, None, None)  # noqa: DTZ901
"""Until the worker has placed the notices."""
_TIME_PASSES = text("""
UPDATE notice_deliveries SET next_attempt_at = created_at
 WHERE id = :id AND attempts = :attempts AND state = 'pending'
""")
_PAUSES_END = text("UPDATE notice_endpoints SET paused_until = NULL WHERE paused_until IS NOT NULL")


def _check_wait(delivery: Delivery, endpoint: Endpoint) -> None:
    """The specification's wait, 20 % more or less, or what the receiver asked for."""
    assert delivery.called_until is not None
    waits = delivery.next_attempt_at - delivery.called_until
    asked = RETRY_AFTER if "Retry-After" in endpoint.kind else timedelta()
    expected = max(WAITS[delivery.attempts - 1], asked)
    assert expected * 0.8 <= waits <= expected * 1.2 + LATE, (endpoint.kind, delivery)


def _deliveries() -> list[Delivery]:
    found = rows("""
        SELECT d.id, d.notice_id, d.endpoint_id, d.state, d.attempts, d.next_attempt_at,
               d.last_error, a.started_at + a.duration_ms * interval '1 millisecond'
          FROM notice_deliveries d
          LEFT JOIN notice_attempts a ON a.delivery_id = d.id AND a.number = d.attempts
         ORDER BY d.id""")
    return [Delivery(*row) for row in found]  # type: ignore[arg-type]


def _first_error(endpoint_id: int) -> object:
    found = rows(
        "SELECT a.error FROM notice_attempts a JOIN notice_deliveries d ON d.id = a.delivery_id"
        " WHERE d.endpoint_id = :id AND a.error IS NOT NULL ORDER BY a.started_at LIMIT 1",
        id=endpoint_id,
    )
    return found[0][0] if found else None


def _check_requests(endpoint: Endpoint, written: Sequence[int]) -> None:
    """What arrived is signed, under the ids of the notices, each with one body at every attempt."""
    requests = [_parts(request) for request in endpoint.receiver.requests]
    assert len(requests) == endpoint.expected.requests, endpoint.kind
    bodies: dict[str, set[bytes]] = {}
    for headers, body in requests:
        Webhook(endpoint.secret).verify(body.decode(), headers)
        assert not {"cookie", "authorization"} & set(headers)
        bodies.setdefault(headers["webhook-id"], set()).add(body)
    assert set(bodies) <= _ids(written)
    assert all(len(versions) == 1 for versions in bodies.values())
    if endpoint.expected.state == "done":
        assert len(bodies) == len(written), "a notice never arrived"
        sequences = sorted(json.loads(body)["data"]["sequence"] for [body] in bodies.values())
        assert sequences == [1, 2]


def _parts(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value for name, value in lines}, body


def _table(endpoints: Mapping[int, Endpoint]) -> str:
    """Kind -> outcome, for people: `pytest -rP` shows it."""
    lines = [
        "| a receiver that | its notices | attempts | requests | why, in our words |",
        "|---|---|---|---|---|",
    ]
    for endpoint_id, endpoint in endpoints.items():
        ends = [d for d in _deliveries() if d.endpoint_id == endpoint_id]
        states = ", ".join(sorted({d.state for d in ends}))
        attempts = ", ".join(str(d.attempts) for d in sorted(ends, key=lambda d: d.attempts))
        errors = dict.fromkeys([_first_error(endpoint_id), *(d.last_error for d in ends)])
        why = "; then: ".join(str(error) for error in errors if error) or "-"
        requests = len(endpoint.receiver.requests)
        lines.append(f"| {endpoint.kind} | {states} | {attempts} | {requests} | {why} |")
    return "\n" + "\n".join(lines) + "\n"
