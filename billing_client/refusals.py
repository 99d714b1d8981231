"""Which error an answer of the server is: one class for each problem type."""

from collections.abc import Mapping
from typing import Any

from billing_client import errors
from billing_client.errors import BillingError, Refused, Unauthorized, Unreachable
from billing_client.exchange import TRY_AGAIN, Answer, Request

_DETAIL_MAX_LENGTH = 500

_ABOUT: Mapping[str, tuple[type[errors.Refused], str]] = {
    "account-exists": (errors.AccountExists, "account"),
    "unknown-account": (errors.AccountUnknown, "account"),
    "unknown-contact": (errors.ContactUnknown, "contact_id"),
    "unknown-dispute": (errors.DisputeUnknown, "dispute_id"),
    "unknown-hold": (errors.HoldUnknown, "hold_id"),
    "unknown-lead": (errors.LeadUnknown, "lead_id"),
    "unknown-order": (errors.OrderUnknown, "order_id"),
    "unknown-payment": (errors.PaymentUnknown, "payment_id"),
    "unknown-refund": (errors.RefundUnknown, "refund_id"),
}
"""Problem type -> class, and what the call must have been about."""
_PLAIN: Mapping[str, type[Refused]] = {
    "ambiguous-payment": errors.AmbiguousPayment,
    "answer-not-kept": errors.AnswerNotKept,
    "contact-exists": errors.ContactExists,
    "dispute-open": errors.DisputeOpen,
    "dispute-resolved": errors.DisputeResolved,
    "dispute-window-over": errors.DisputeWindowOver,
    "disputed-before": errors.DisputedBefore,
    "events-not-kept": errors.EventsNotKept,
    "invalid-fields": errors.InvalidFields,
    "lead-not-charged": errors.LeadNotCharged,
    "missing-scope": errors.MissingScope,
    "not-refundable": errors.NotRefundable,
    "order-at-odds": errors.OrderAtOdds,
    "out-of-reach": errors.OutOfReach,
    "plan-refused": errors.PlanRefused,
    "too-many-contacts": errors.TooManyContacts,
}
_LATER: Mapping[str, type[Unreachable]] = {
    "gateway-unavailable": errors.GatewayUnavailable,
    "outcome-unknown": errors.OutcomeUnknown,
    "request-in-progress": errors.RequestInProgress,
    "too-many-requests": errors.TooManyRequests,
}


def error_of(answer: Answer, request: Request, about: Mapping[str, Any]) -> BillingError:
    """Return the error of an answer without success; `about` are the ids that the call names."""
    error = _later(answer, request) or _refused(answer, about)
    error.problem = answer.problem
    error.request_id = answer.request_id
    return error


def _later(answer: Answer, request: Request) -> Unreachable | None:
    if answer.status not in TRY_AGAIN and not answer.is_in_progress:
        return None
    kind = errors.kind_of(answer.problem)
    return _LATER.get(kind, Unreachable)(
        f"{request.host} still answers {answer.status} after all retries: {_detail(answer)}",
        idempotency_key=request.idempotency_key,
    )


def _refused(answer: Answer, about: Mapping[str, Any]) -> Refused:
    problem, status, detail = answer.problem, answer.status, _detail(answer)
    kind = errors.kind_of(problem)
    if kind in _ABOUT:
        made, subject = _ABOUT[kind]
        return made(about.get(subject, ""), detail)
    if kind in _PLAIN:
        return _PLAIN[kind](status, detail)
    if kind == "not-enough-credit":
        needed, balance, available = (problem.get(n) for n in ("needed", "balance", "available"))
        if type(needed) is int and type(balance) is int and type(available) is int:
            return errors.NotEnoughCredit(about.get("account", ""), needed, balance, available)
    if kind == "hold-finished" and "state" in problem:
        return errors.HoldFinished(about.get("hold_id", ""), str(problem["state"]), detail)
    if kind == "idempotency-conflict":
        return errors.IdempotencyConflict(detail)
    return Unauthorized(status, detail) if status in (401, 403) else Refused(status, detail)


def _detail(answer: Answer) -> str:
    """Return the text for people: `detail` of problem JSON (RFC 9457), `error` or `title`.

    Without one, it is no answer of the back office, or one of a proxy before it.
    """
    for name in ("detail", "error", "title"):
        if isinstance(answer.problem.get(name), str):
            return str(answer.problem[name])[:_DETAIL_MAX_LENGTH]
    if 300 <= answer.status < 400:
        return "it leads to another address, which is not followed: check the URL in the settings"
    if answer.content is None:
        return "the answer gives no reason, and is not JSON: check the URL in the settings"
    return "the answer gives no reason"
