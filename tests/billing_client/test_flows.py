"""Jobs of several calls: opening an account once among many, waiting for a lead. Without I/O."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing_client import (
    Account,
    AccountExists,
    AccountUnknown,
    AlertLevel,
    LeadState,
    LeadStatus,
    LeadStillPending,
    LeadUnknown,
    ProductMismatch,
    Unreachable,
    flows,
)
from billing_client.call import Call

ACCOUNT = Account(
    "clinic:42", "City", "clinic_leads", "Asia/Kolkata", 0, 0, 0, 0, AlertLevel.EXHAUSTED, None,
    None, datetime(2026, 11, 20, tzinfo=UTC),
)  # fmt: skip
UNKNOWN = AccountUnknown("clinic:42", "no account is known")
EXISTS = AccountExists("clinic:42", "it exists")


def run(flow: flows.Flow[Any], *answers: object) -> tuple[Any, list[str]]:
    """Give a flow these results and errors in turn; what it returned or raised, and its steps."""
    steps: list[str] = []
    left = list(answers)
    result: Any = None
    failure: Exception | None = None
    try:
        while True:
            step = flow.send(result) if failure is None else flow.throw(failure)
            result = failure = None
            if not isinstance(step, Call):
                steps.append(f"pause {step.seconds:.3f}")
                continue
            steps.append(step.method)
            answer = left.pop(0)
            if isinstance(answer, Exception):
                failure = answer
            else:
                result = answer
    except StopIteration as end:
        return end.value, steps
    except Exception as error:  # noqa: BLE001 - it is what is looked at
        return error, steps


def ensure(product: str = "clinic_leads") -> flows.Flow[Account]:
    return flows.ensure_account(
        "clinic:42", "City", product, timezone=None, state_code=None, gstin=None,
        idempotency_key=None,
    )  # fmt: skip


def test_an_account_that_is_there_is_found_with_one_question() -> None:
    assert run(ensure(), ACCOUNT) == (ACCOUNT, ["GET"])


def test_one_that_is_not_is_opened() -> None:
    assert run(ensure(), UNKNOWN, ACCOUNT) == (ACCOUNT, ["GET", "POST"])


def test_one_that_another_process_opens_meanwhile_is_found() -> None:
    assert run(ensure(), UNKNOWN, EXISTS, ACCOUNT) == (ACCOUNT, ["GET", "POST", "GET"])


def test_one_that_exists_out_of_reach_is_said_to_exist() -> None:
    assert run(ensure(), UNKNOWN, EXISTS, UNKNOWN) == (EXISTS, ["GET", "POST", "GET"])


@pytest.mark.parametrize("before", [(), (UNKNOWN, EXISTS)], ids=["found", "after a race"])
def test_one_of_another_product_is_an_error(before: tuple[Exception, ...]) -> None:
    error, _ = run(ensure("pharmapulse_one"), *before, ACCOUNT)
    assert isinstance(error, ProductMismatch)
    assert (error.found, error.wanted) == ("clinic_leads", "pharmapulse_one")


def test_what_is_not_answered_is_the_callers_to_repeat() -> None:
    gone = Unreachable("gone", idempotency_key="k")
    assert run(ensure(), UNKNOWN, gone) == (gone, ["GET", "POST"])


def lead(state: str, reason: str | None = None) -> LeadStatus:
    return LeadStatus("L-1", "clinic:42", LeadState(state), 180, reason=reason)


@pytest.mark.parametrize("state", ["charged", "parked", "conflict", "refused", "of-a-newer-server"])
def test_a_lead_that_is_decided_is_returned_at_once(state: str) -> None:
    decided = lead(state, "bad event")
    assert run(flows.wait_for_lead("L-1", 30), decided) == (decided, ["GET"])


def test_a_lead_is_waited_for_with_growing_pauses_even_while_it_is_unknown() -> None:
    unknown = LeadUnknown("L-1", "no lead")
    result, steps = run(
        flows.wait_for_lead("L-1", 30), unknown, unknown, lead("pending"), lead("charged")
    )
    assert result == lead("charged")
    assert steps == ["GET", "pause 0.100", "GET", "pause 0.150", "GET", "pause 0.225", "GET"]


def test_no_pause_is_longer_than_three_seconds() -> None:
    _, steps = run(flows.wait_for_lead("L-1", 3_600), *[lead("pending")] * 20, lead("charged"))
    assert steps[-2] == "pause 3.000"


def test_a_wait_ends_with_what_was_seen_last() -> None:
    waiting = lead("pending", "an operator")
    error, steps = run(flows.wait_for_lead("L-1", 0), waiting)
    assert isinstance(error, LeadStillPending)
    assert (error.lead_id, error.timeout_seconds, error.status) == ("L-1", 0, waiting)
    assert steps == ["GET"]
    error, _ = run(flows.wait_for_lead("L-1", 0), LeadUnknown("L-1", "no lead"))
    assert isinstance(error, LeadStillPending)
    assert error.status is None
