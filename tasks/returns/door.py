"""The Celery door of refunds.

`request(payment_id, reason, requested_by, amount_paise=None, request_id=None)` refunds a payment.
Any Celery app on the same Redis calls it by name. It returns nothing: the outcome of the call is
its row in the inbox, and the refund.
"""

from typing import Any

from tasks.inbox import recorder
from tasks.plumbing import nudges
from tasks.returns import calls
from worker.app import app


# A call must reach us whatever its arguments are: we bind them ourselves.
@app.task(**recorder.door_options(calls.TASK, calls.PARAMETERS))
def request(self: Any, /, *args: Any, **kwargs: Any) -> None:
    """Record one refund to ask for; one that cannot be recorded as such becomes a dead row."""
    recorder.record_or_requeue(calls.read(self.request.id, args, kwargs))
    nudges.send_in_background(calls.SOURCE)
