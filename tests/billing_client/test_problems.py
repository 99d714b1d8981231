"""What a customer is answered for an error of billing, and what only the log says."""

import json
import logging
from typing import Any

import pytest
from flask import Blueprint, Flask

from billing_client import (
    AccountUnknown,
    BillingError,
    HoldFinished,
    HoldUnknown,
    IdempotencyConflict,
    InvalidRequest,
    LeadStillPending,
    LeadUnknown,
    NotEnoughCredit,
    NotRefundable,
    OutcomeUnknown,
    OutOfReach,
    ProductMismatch,
    Refused,
    StillRunning,
    TooManyHolds,
    Unauthorized,
    Unreachable,
)
from billing_client.flask_errors import handle_billing_errors

SECRET = "bk_S3cret"


def refused(status: int, kind: str = "", detail: str = "because") -> Refused:
    error = Refused(status, detail)
    error.problem = {"type": f"urn:problem-type:billing:{kind}"} if kind else {}
    return error


def refused_plainly(status: int) -> Refused:
    error = Refused(status, f"unknown path {SECRET}")
    error.problem = {"type": "about:blank"}
    return error


def answered(error: BillingError, *, blueprint: bool = False) -> Any:
    """What a customer gets if a view raises the error."""
    app = Flask("platform")
    views = Blueprint("views", "platform") if blueprint else app

    @views.get("/")
    def view() -> str:
        raise error

    handle_billing_errors(views)
    if isinstance(views, Blueprint):
        app.register_blueprint(views)
    return app.test_client().get("/")


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (NotEnoughCredit("clinic:42", 50, 30, 20), 402, "not-enough-credit"),
        (AccountUnknown("clinic:42", "no account"), 404, "unknown-account"),
        (refused(404, "unknown-lead"), 404, "unknown-lead"),
        (refused(409, "dispute-open"), 409, "dispute-open"),
        (refused(410, "answer-not-kept"), 410, "answer-not-kept"),
        (NotRefundable(409, "the payment is refunded"), 409, "refused"),
        (IdempotencyConflict("used"), 409, "idempotency-conflict"),
        (StillRunning("runs"), 409, "request-in-progress"),
        (TooManyHolds("50"), 409, "too-many-attempts"),
        (Unreachable("billing.internal cannot be reached"), 503, "credit-unavailable"),
        (OutcomeUnknown("billing.internal still answers 503"), 503, "credit-unavailable"),
        (LeadStillPending("L-1", 30), 503, "lead-pending"),
        (OutOfReach(403, f"the key {SECRET} is for other products"), 500, "internal-error"),
        (ProductMismatch("clinic:42", SECRET, "leads"), 500, "internal-error"),
        (Unauthorized(401, f"unknown key {SECRET}"), 500, "internal-error"),
        (Unauthorized(403, f"the key {SECRET} lacks leads:write"), 500, "internal-error"),
        (InvalidRequest(f"api_key: {SECRET}"), 500, "internal-error"),
        (refused(400, detail=SECRET), 500, "internal-error"),
        (refused(422, "invalid-fields", SECRET), 500, "internal-error"),
        (refused(200, detail=f"the answer cannot be read {SECRET}"), 500, "internal-error"),
        (BillingError(SECRET), 500, "internal-error"),
        # As of another server, or of an address without the path of the API
        (refused(404, detail=SECRET), 500, "internal-error"),
        (refused_plainly(404), 500, "internal-error"),
    ],
    ids=repr,
)
def test_each_error_is_a_problem_that_keeps_the_platforms_secrets(
    error: BillingError, status: int, kind: str
) -> None:
    answer = answered(error)
    shown = answer.get_json()

    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert (shown["status"], shown["type"]) == (status, f"urn:problem-type:billing:{kind}")
    assert shown["title"]
    assert shown["detail"]
    assert SECRET not in answer.text
    assert "billing.internal" not in answer.text


def test_a_402_has_the_figures() -> None:
    shown = answered(NotEnoughCredit("clinic:42", 50, 30, 20)).get_json()
    assert (shown["needed"], shown["balance"], shown["available"]) == (50, 30, 20)


@pytest.mark.parametrize(
    ("error", "later"),
    [(Unreachable("x"), True), (StillRunning("x"), True), (IdempotencyConflict("x"), False)],
    ids=repr,
)
def test_what_may_go_through_later_says_when(error: BillingError, *, later: bool) -> None:
    assert ("Retry-After" in answered(error).headers) is later


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Unauthorized(401, "unknown key"), "Unauthorized: refused with status 401: unknown key"),
        (InvalidRequest("amount: must be"), "InvalidRequest: amount: must be"),
        (AccountUnknown("clinic:42", "no"), "account 'clinic:42' is unknown"),
        (Unreachable("billing.internal cannot"), "billing does not answer: Unreachable: billing.i"),
    ],
    ids=repr,
)
def test_the_log_names_what_the_platform_must_mend(
    error: BillingError, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    answered(error)
    [record] = [record for record in caplog.records if record.name == "billing_client"]
    assert line in record.getMessage()


@pytest.mark.parametrize("error", [Unreachable("x"), Unauthorized(401, "x")], ids=repr)
def test_the_id_of_the_request_is_in_the_answer_and_in_the_log(
    error: BillingError, caplog: pytest.LogCaptureFixture
) -> None:
    error.request_id = "req_of_the_test"
    answer = answered(error)
    assert answer.get_json()["request_id"] == "req_of_the_test"
    assert answer.headers["X-Request-Id"] == "req_of_the_test"
    assert "(request req_of_the_test)" in caplog.text


def test_what_is_the_customers_own_affair_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answered(NotEnoughCredit("clinic:42", 50, 30, 20))
    answered(refused(409, "dispute-open"))
    assert [record for record in caplog.records if record.name == "billing_client"] == []


def test_it_can_be_for_one_blueprint() -> None:
    assert answered(refused(409, "dispute-open"), blueprint=True).status_code == 409


@pytest.mark.parametrize(
    "error",
    [
        LeadUnknown("L-1", "no lead"),
        HoldUnknown("7", "no hold"),
        HoldFinished("7", "voided", "is voided"),
    ],
    ids=repr,
)
def test_the_words_of_the_api_reach_the_customer_as_json(error: Refused) -> None:
    answer = answered(error)
    assert answer.status_code == error.status
    assert json.loads(answer.data)["detail"] == error.detail
