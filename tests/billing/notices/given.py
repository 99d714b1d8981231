"""The worlds of notices: endpoints, notices that were written, and calls that were made."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

import clock
import settings
from billing import accounts, notices
from billing.notices import Answer, Attempted, Lane
from db import outbox
from db.outbox import NewNotice
from db.session import transaction
from tests.billing.given import rows

START = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
URL = "https://shop.example/notices"
OK = Answer(200, head=b"ok", duration_ms=7)
BROKEN = Answer(500, "answered 500")
HANGS = Answer(None, "no answer in time")
WEB_SECRET = "a-secret-of-the-tests-that-is-long-enough"


def set_web_secrets(monkeypatch: pytest.MonkeyPatch, *secrets: str) -> None:
    """Let this process have these WEB_SECRETS."""
    monkeypatch.setitem(os.environ, "WEB_SECRETS", ",".join(secrets))
    settings.get.cache_clear()


def write(*account_refs: str | None, topic: str = "lead.parked", **payload: Any) -> list[int]:
    """One notice for each account, in one transaction; their ids."""
    with transaction() as session:
        ids = [
            found.id if ref and (found := accounts.find(session, ref)) else None
            for ref in account_refs
        ]
        outbox.write(
            session,
            [NewNotice(topic, f"lead:{n}", id_, payload) for n, id_ in enumerate(ids)],
            now=clock.now(),
        )
        return [row[0] for row in session.execute(_NEWEST, {"most": len(account_refs)})][::-1]


_NEWEST = text("SELECT id FROM outbox_events ORDER BY id DESC LIMIT :most")


def fan_out() -> int:
    """Place all there is; how many."""
    placed = 0
    while True:
        with transaction() as session:
            done = notices.fan_out(session, now=clock.now())
        placed += done.placed
        if not done.more:
            return placed


def endpoint(url: str = URL, **more: Any) -> int:
    """An endpoint of clinic leads; its id."""
    given = {"product": "clinic_leads", "actor": "ops", **more}
    with transaction() as session:
        return notices.endpoints.add(session, url=url, **given).endpoint_id


def lease(most_lanes: int = 10, **more: Any) -> list[Lane]:
    with transaction() as session:
        return notices.lease(session, now=clock.now(), most_lanes=most_lanes, **more)


def call(lane: Lane, *answers: Answer) -> None:
    """Make the lane's first deliveries with these answers, and give the rest back."""
    made = list(zip(lane.deliveries, answers, strict=False))
    with transaction() as session:
        notices.finish(
            session,
            [
                Attempted(due.delivery_id, lane.lease_id, due.attempt_number, clock.now(), answer)
                for due, answer in made
            ],
            now=clock.now(),
        )
        rest = [due.delivery_id for due in lane.deliveries[len(made) :]]
        notices.give_back(session, lane.lease_id, rest)


def send(answer: Answer, *, rounds: int = 100) -> int:
    """Lease and call until nothing is due, each call with this answer; the number of calls."""
    calls = 0
    for _ in range(rounds):
        lanes = lease()
        if not lanes:
            break
        for lane in lanes:
            made = lane.deliveries if answer.is_success else lane.deliveries[:1]
            calls += len(made)
            call(lane, *([answer] * len(made)))
    return calls


def until_dead() -> None:
    """Let every call of the one pending delivery fail, each at its time."""
    for _ in range(10):
        assert send(BROKEN) == 1
        ((due,),) = rows("SELECT max(next_attempt_at) FROM notice_deliveries")
        if isinstance(due, datetime):
            later(seconds=(due - clock.now()).total_seconds())


def review() -> None:
    """Do all that is due of endpoints."""
    while True:
        with transaction() as session:
            if not notices.review_endpoints(session, now=clock.now()):
                return


def states(endpoint_id: int) -> list[tuple[object, ...]]:
    """State and attempts of each delivery of an endpoint, in order."""
    return list(
        rows(
            "SELECT state, attempts FROM notice_deliveries WHERE endpoint_id = :id"
            " ORDER BY position",
            id=endpoint_id,
        )
    )


def operators_were_notified_of() -> list[object]:
    """The topics of the notices about endpoints, in order."""
    return [
        topic
        for (topic,) in rows(
            "SELECT topic FROM outbox_events WHERE topic LIKE 'endpoint.%' ORDER BY id"
        )
    ]


def ids(lanes: Sequence[Lane]) -> list[int]:
    """The notices of lanes, in order."""
    return [due.notice_id for lane in lanes for due in lane.deliveries]


@contextmanager
def at(moment: datetime = START) -> Iterator[None]:
    """The clock stands; `later` moves it."""
    with clock.frozen(moment):
        yield


def later(**by: float) -> None:
    clock.advance(timedelta(**by))
