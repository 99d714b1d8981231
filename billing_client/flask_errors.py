"""Answers for the errors of billing that no view of a Flask app has caught."""

from flask import Blueprint, Flask, Response

from billing_client.errors import BillingError
from billing_client.problems import problem_of


def handle_billing_errors(app: Flask | Blueprint) -> None:
    """Let an app, or the views of a blueprint, answer with a problem (RFC 9457).

    402 with `needed`, `balance` and `available` if the credit is short, 404 and 409 as the API has
    refused, 503 with `Retry-After` if it did not answer. For what only the platform can mend, such
    as a wrong API key, the answer is a 500 without the reason: the log of `billing_client` has it.
    `request_id` and `X-Request-Id` are those of the request to the API.
    """
    app.register_error_handler(BillingError, answer_to)


def answer_to(error: BillingError, *, idempotency_key: str | None = None) -> Response:
    """Return the answer; `idempotency_key` is what a paid request is repeated with."""
    problem = problem_of(error, idempotency_key=idempotency_key)
    return Response(problem.body, problem.status, problem.headers)
