"""Runs a Celery task under `require_credits`: one hold through all retries and redeliveries.

A run cannot tell by itself whether its failure is final: `autoretry_for` turns exceptions into
retries outside of it. Celery tells how each run of a task in a worker ended with the signal
`task_postrun`, and there the hold is kept or voided (celery/app/trace.py, 5.4 to 5.6):

| state | what happened | the hold |
|---|---|---|
| SUCCESS | the function returned | is captured; one whose error the task caught is voided |
| RETRY | `self.retry()` or `autoretry_for` | stays: the next run has the same task id |
| REJECTED | `Reject(requeue=True)` | stays: the message comes again |
| REJECTED | `Reject(requeue=False)` | voided |
| IGNORED | `Ignore`, also of `self.replace()` | voided: a replacement holds for itself |
| FAILURE | final: no retry left, or none asked for | voided |
| none | the process is being ended | stays, for a redelivery |

A result that cannot be stored makes a FAILURE of work that was done: it is captured by then.
No signal comes for a process that is killed, by its hard time limit too: then the hold is there
for a redelivery, or frees itself when its time is up.
"""

from collections.abc import Callable
from typing import Any

from celery import Task
from celery.signals import task_postrun
from celery.states import REJECTED, RETRY

from billing_client.paid_work import PaidWork, begin_once, plain_key
from billing_client.terms import Requirement, qualified_name

_WORK_OF_TASK = "billing_client_paid_works"


def run(
    function: Callable[..., Any],
    requirement: Requirement,
    task: Task,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Return what the function returns, paid for. `task` is the one that the worker runs.

    Raises what the function raises, `NotEnoughCredit`, `Unreachable` and kin.
    """
    own = args[1:] if args and isinstance(args[0], Task) else args  # bind=True
    terms = requirement.terms_of(own, kwargs)
    own_key = requirement.own_key_of(own, kwargs)
    if own_key is not None:
        key = plain_key("own", own_key, terms.account)
    else:
        key = plain_key("task", str(task.request.id), qualified_name(function), terms.account)
    work = PaidWork(terms, key)
    begin_once(work, task.request.__dict__.setdefault(_WORK_OF_TASK, []))
    with work.current():
        result = function(*args, **kwargs)
    work.settle()
    return result


@task_postrun.connect(weak=False)  # type: ignore[untyped-decorator] # Celery has no types
def _ended(task: Task, state: str | None = None, retval: object = None, **_: object) -> None:
    if _comes_again(task, state, retval):
        return
    for work in task.request.__dict__.get(_WORK_OF_TASK, ()):
        work.release()


def _comes_again(task: Task, state: str | None, retval: object) -> bool:
    if state is None:
        return not task.request.is_eager
    return state == RETRY or (state == REJECTED and bool(getattr(retval, "requeue", False)))
