"""How many Razorpay webhooks a second are recorded durably, and how long each waits.

Measured as the lead events are, in `receiver.py`, against the same empty view. On a database of
its own: payments that nobody made must not lie in the inbox when the next measurement has workers.
"""

from benchmarks import lab, leads, receiver
from benchmarks.report import Report

DEFAULT_EVENTS = 10_000


def measure(here: lab.Lab, *, events: int) -> Report:
    """Send `events` in each round, at each number of connections; raise `WrongOutcome`."""
    with lab.database_of_its_own(here) as own, receiver.both_servers(own) as ports:
        sender = receiver.Sender(own, leads.new_run(), source="razorpay")
        empty, recorded = sender.take_turns(ports, events=events)
        sender.require_recorded(ports.receiver)
    return Report(
        "Receiver: signed Razorpay webhooks answered 202 after their commit",
        receiver.COLUMNS,
        [
            *receiver.rows("empty view", empty, empty),
            *receiver.rows("recorded, nudge sent, no worker", recorded, empty),
        ],
        receiver.note(events),
    )
