"""The group commit of one process, on a real database."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from db.deliveries import NewEvent
from db.roles import Role
from db.session import transaction
from tests.billing.given import rows
from tests.stack_process import eventually
from webhook_receiver import recorder
from webhook_receiver.recorder import NotRecorded, Recorder

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def event(event_id: str) -> NewEvent:
    return NewEvent("leads", event_id, b"{}", NOW)


@pytest.mark.usefixtures("database")
def test_a_delivery_that_was_given_up_is_not_kept_for_a_database_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "WAIT_SECONDS", 0.2)
    recording = Recorder()

    async def deliver(*ids: str) -> list[object]:
        waiting = [recording.record(event(one)) for one in ids]
        return await asyncio.gather(*waiting, return_exceptions=True)

    # Given a database that does not answer one group, and deliveries that waited behind it
    with transaction(Role.OWNER) as session:
        session.execute(text("LOCK TABLE inbound_events IN EXCLUSIVE MODE"))
        answers = asyncio.run(deliver("first")) + asyncio.run(deliver("second", "third"))
        assert [type(answer) for answer in answers] == [NotRecorded] * 3

    # When it answers again
    assert eventually("a new one is recorded", lambda: asyncio.run(deliver("new")) == [True])

    # Then those whose senders were asked to come again take no more of its time
    assert rows("SELECT event_id FROM inbound_events ORDER BY id") == [("first",), ("new",)]
