"""Runs a Celery task under `require_credits`: one hold through all retries and redeliveries.

A run does not know whether its failure is final: `autoretry_for` turns exceptions into retries
outside of it. Celery's signal `task_postrun` reports how each run of a task in a worker ended, and
its receiver here keeps or voids the hold (celery/app/trace.py, 5.4 to 5.6):

| state | what happened | the hold |
|---|---|---|
| SUCCESS | the function returned | is captured; voided if the task caught the function's error |
| RETRY | `self.retry()` or `autoretry_for` | stays: the next run has the same task id |
| REJECTED | `Reject(requeue=True)` | stays: the message is delivered again |
| REJECTED | `Reject(requeue=False)` | voided |
| IGNORED | `Ignore`, also by `self.replace()` | voided: the replacement has its own hold |
| FAILURE | final: no retry is left, or none was requested | voided |
| none | the process is ending | stays for the redelivery |

If the result cannot be stored, work that was done ends as FAILURE; its hold is captured by then.
There is no signal if the process is killed, also by the hard time limit: then the hold stays for
the redelivery, or expires.
"""

from collections.abc import Callable
from typing import Any

from celery import Task
from celery.signals import task_postrun
from celery.states import REJECTED, RETRY

from billing_client.paid_work import PaidWork, begin_once, plain_key
from billing_client.steps import drive
from billing_client.terms import Requirement, qualified_name

_WORK_OF_TASK = "billing_client_paid_works"


def run(
    function: Callable[..., Any],
    requirement: Requirement,
    task: Task,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run the function and charge for it; `task` is the task that the worker runs.

    Returns what the function returns. Raises what it raises, and as `PaidWork.begin`.
    """
    own = args[1:] if args and isinstance(args[0], Task) else args  # bind=True
    terms = requirement.terms_of(own, kwargs)
    own_key = requirement.own_key_of(own, kwargs)
    if own_key is not None:
        key = plain_key("own", own_key, terms.account)
    else:
        key = plain_key("task", str(task.request.id), qualified_name(function), terms.account)
    work = PaidWork(terms, key)
    drive(begin_once(work, task.request.__dict__.setdefault(_WORK_OF_TASK, [])), terms.client)
    with work.current():
        result = function(*args, **kwargs)
    drive(work.settle(), terms.client)
    return result


@task_postrun.connect(weak=False)  # type: ignore[untyped-decorator] # Celery has no types
def _release_unless_repeated(
    task: Task, state: str | None = None, retval: object = None, **_: object
) -> None:
    if _will_run_again(task, state, retval):
        return
    for work in task.request.__dict__.get(_WORK_OF_TASK, ()):
        drive(work.release(), work.client)


def _will_run_again(task: Task, state: str | None, retval: object) -> bool:
    if state is None:
        return not task.request.is_eager
    return state == RETRY or (state == REJECTED and bool(getattr(retval, "requeue", False)))
