"""Lead events as a sender writes them, put into the inbox, and worked on."""

import json
from itertools import count

import clock
from db import deliveries
from db.deliveries import NewEvent
from db.session import transaction
from tasks.drain import work_one_batch
from tests.billing.given import rows

_ids = count(1)


def lead_event(lead_id: object = "L-1", **data: object) -> dict[str, object]:
    """A lead event in the form that senders use, as Python values."""
    return {
        "type": "lead.created",
        "timestamp": "2026-11-21T10:00:00+05:30",
        "data": {
            "lead_id": lead_id, "account": "clinic:42", "package_price_paise": 600_000, **data,
        },
    }  # fmt: skip


def deliver(*events: object, source: str = "leads") -> list[int]:
    """Record deliveries (Python values become JSON, bytes stay); their inbox ids."""
    bodies = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    with transaction() as session:
        deliveries.record(
            session, [NewEvent(source, f"msg_{next(_ids)}", body, clock.now()) for body in bodies]
        )
    return [int(str(id_)) for (id_,) in rows("SELECT id FROM inbound_events ORDER BY id")][
        -len(events) :
    ]


def work(source: str = "leads") -> None:
    """Do what a worker does until nothing is due."""
    while work_one_batch(source):
        pass


def inbox_rows() -> list[tuple[object, ...]]:
    """(state, outcome, type, last_error) of every row, oldest first."""
    return list(rows("SELECT state, outcome, type, last_error FROM inbound_events ORDER BY id"))
