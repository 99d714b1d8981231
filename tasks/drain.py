"""The inbox at work: `drain` handles the due rows of a source, `sweep` nudges what was missed."""

import time
from collections.abc import Callable
from functools import partial

import structlog

import clock
from db import inbox
from db.errors import DatabaseUnavailable
from db.session import transaction
from errors import PermanentError, TransientError
from tasks.disputes import calls as dispute_calls
from tasks.inbox.handler import Handler
from tasks.leads import calls as lead_calls
from tasks.leads import events as lead_events
from tasks.leads import requests as lead_requests
from tasks.operator_lines import write_to_log
from tasks.payments import events as payment_events
from tasks.plumbing import nudges
from tasks.returns import calls as refund_calls
from worker.app import app

log = structlog.get_logger()

HANDLERS: dict[str, Handler] = {
    "leads": partial(lead_events.handle, actor="webhook:leads", door="webhook"),
    lead_calls.SOURCE: lead_calls.handle,
    lead_requests.SOURCE: lead_requests.handle,
    dispute_calls.SOURCE: dispute_calls.handle,
    refund_calls.SOURCE: refund_calls.handle,
    "razorpay": partial(payment_events.handle, gateway="razorpay"),
    "stripe": partial(payment_events.handle, gateway="stripe"),
}
"""Source of inbound events -> its handler. Queues of the nudges: `tasks/plumbing/nudges.py`."""

TRICKLING = frozenset({lead_calls.SOURCE})
"""Sources whose rows the draining processes record themselves, one by one. A drain that went on as
they trickle in would find a handful each time and keep its process from recording. Whatever is
recorded after a drain began has a nudge of its own."""

DRAIN_SECONDS = 10
"""A drain hands over to the next after this, so that other queues get their turn."""


@app.task(name=nudges.DRAIN_TASK, parameters=("source",), shown=frozenset({"source"}))
def drain(source: str) -> None:
    """Handle the due rows of `source`, batch by batch, until none is left or time is up."""
    nudges.acknowledge(source)
    stop_at = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < stop_at:
        rows = work_one_batch(source)
        if not rows or (rows < inbox.BATCH_SIZE and source in TRICKLING):
            return
        if rows == inbox.BATCH_SIZE:
            nudges.send(source)  # a backlog: let an idle worker join
    nudges.send(source)


@app.task(name="tasks.inbox.sweep")
def sweep() -> None:
    """Nudge every source that has rows due: new, backed off, or left by a worker that died."""
    with transaction() as session:
        sources = inbox.due_sources(session, now=clock.now())
    for source in sources:
        nudges.send(source, by_sweep=True)


def work_one_batch(source: str) -> int:
    """Lease, handle and finish one batch; return how many rows were taken.

    A failing batch is given back and comes again in halves; see `db/inbox.py`. Raises only when
    PostgreSQL cannot be reached: the lease then expires by itself.
    """
    with transaction() as session:
        lease = inbox.lease(session, source, now=clock.now())
    if lease is None:
        return 0
    try:
        with transaction() as session:
            events = inbox.load_leased(session, lease)
            outcome = HANDLERS[source](session, events)
            inbox.finish(session, outcome.ends(), now=clock.now())
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and kept on the row
        _give_back(source, lease, error)
    else:
        write_to_log(outcome.log_lines())
        if outcome.afterwards is not None:
            _run_afterwards(source, outcome.afterwards)
    return len(lease.event_ids)


def _run_afterwards(source: str, act: Callable[[], object]) -> None:
    try:
        act()
    except TransientError as error:
        log.warning("left to the sweep", source=source, error=type(error).__name__)


def _give_back(source: str, lease: inbox.Lease, error: Exception) -> None:
    log.warning(
        "batch given back",
        source=source,
        rows=len(lease.event_ids),
        first_row=lease.event_ids[0],
        error=type(error).__name__,
    )
    with transaction() as session:
        inbox.give_back(
            session, lease, error, permanent=isinstance(error, PermanentError), now=clock.now()
        )
