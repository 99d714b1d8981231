"""Refusals: every error answer is a problem of RFC 9457 (`application/problem+json`).

A route raises `Refusal`, or lets an error of the rules or of a gateway through: `_OF_RULES` is the
one place that says which problem each of those is. Errors of the database and of werkzeug become
problems here too. A problem never shows code, SQL or a key.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPMethod, HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from billing.access import AnswerNotKept, AnswerOutOfReach
from billing.accounts import AccountExists
from billing.credit import HoldFinished, UnknownHold
from billing.disputes import (
    DisputedBefore,
    DisputeOpen,
    DisputeResolved,
    DisputeWindowOver,
    LeadNotCharged,
    UnknownDispute,
)
from billing.errors import IdempotencyConflict, InvalidReason, UnknownAccount
from billing.leads import UnknownLead
from billing.ledger import InsufficientCredit, SecondPost
from billing.payments import AmbiguousPayment, OrderAtOdds, UnknownPayment
from billing.plans import PlanRefused
from billing.returns import CannotRefund, UnknownRefund
from billing.text import field_problems, validation_problems
from db.errors import StatementRefused
from errors import BillingError, InvalidField, NotFound, PermanentError, TransientError
from gateways.errors import (
    GatewayKeyRefused,
    GatewayNotConfigured,
    GatewayRefused,
    GatewayUnavailable,
    OutcomeUnknown,
    UnknownGateway,
    UnreadableAnswer,
)
from service import request_ids
from service.disclosure import shown_error, shown_path
from service.http_messages import Answer, Refused

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
OWN_TYPES = "urn:problem-type:billing:"
INVALID_FIELDS = "invalid-fields"
PLAIN = "about:blank"
"""The type of a problem that its HTTP status describes in full (RFC 9457, 4.2.1)."""


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(description="its name, with dots if it is nested")
    detail: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(
        description=f"{PLAIN}, or {OWN_TYPES}... to distinguish the causes of a status"
    )
    title: str
    status: int
    detail: str
    request_id: str = Field(
        description="the X-Request-Id of this answer: name it if you ask us about the request"
    )
    errors: list[FieldProblem] | None = Field(default=None, description="with 422: the fields")


class NotEnoughCredit(Problem):
    """Why nothing was spent, and what the account has; in credits."""

    needed: int = Field(description="what was to be spent")
    available: int = Field(description="what can pay for it; for a capture, its hold counts too")
    balance: int
    held: int = Field(description="what open holds set aside")


class Refusal(Exception):
    """What a route raises to refuse a request."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        more: Mapping[str, str | int] | None = None,
        logged: str | None = None,
    ) -> None:
        """`kind` is the last part of a type of ours, such as `unknown-lead`.

        `fields` maps each wrong field to its problem; see `bad_field`. `more` are extension members
        of the problem, for programs (RFC 9457, 3.2). `logged` is the detail for the log, if
        `detail` repeats what the caller sent.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.type = OWN_TYPES + kind if kind else PLAIN
        self.headers = dict(headers or {})
        self.fields = dict(fields or {})
        self.more = dict(more or {})
        self.logged = logged


MODELS: dict[int, type[Problem]] = {402: NotEnoughCredit}
"""Status -> what its problem looks like, unless it is a plain `Problem`."""
SCHEMAS = "#/components/schemas/"


def bad_field(field: str, problem: str) -> Refusal:
    """Return the refusal of one field, in the same form as `of_fields`."""
    return Refusal(422, f"{field}: {problem}", kind=INVALID_FIELDS, fields={field: problem})


@contextmanager
def refusals_of_rules() -> Iterator[None]:
    """Raise a `Refusal` for each error of the rules or of a gateway in the block.

    After a `Refusal` below 500 an Idempotency-Key is as good as new (`api/idempotency.py`). Errors
    of the database and mistakes of our own go through.
    """
    try:
        yield
    except BillingError as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise refusal from error


def refusal_of(error: BillingError) -> Refusal | None:
    """Return what an error of the rules or of a gateway is to a caller of the API.

    None for a transient error of ours, and for a mistake of ours. An error without a line of its
    own in `_OF_RULES` is what its base is.
    """
    for kind in type(error).__mro__:
        if kind in _OF_RULES:
            found = _OF_RULES[kind]
            refusal = found(error) if found is not None else None
            if refusal is not None and error.for_log() != str(error):
                refusal.logged = error.for_log()  # the detail may repeat what was sent
            return refusal
    return None


def install(app: Flask) -> None:
    """Answer every error of `app` with a problem."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(PermanentError, _refused_by_rules)
    app.register_error_handler(HTTPException, _by_http)
    app.register_error_handler(TransientError, _later)
    app.register_error_handler(Exception, _unexpected)


def of_fields(error: ValidationError) -> Response:
    """Return the answer that names each bad field of a request; Flask-OpenAPI calls this."""
    if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
        return answer(400, "the body is not JSON")
    fields = [{"field": field, "detail": problem} for field, problem in field_problems(error)]
    detail = "; ".join(f"{field['field']}: {field['detail']}" for field in fields)
    logged = validation_problems(error)
    return answer(422, detail, kind=OWN_TYPES + INVALID_FIELDS, logged=logged, errors=fields)


def documented(*statuses: int) -> dict[str, Any]:
    """Return the description of these refusals for the OpenAPI document."""
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {
                MEDIA_TYPE: {"schema": {"$ref": SCHEMAS + MODELS.get(status, Problem).__name__}}
            },
        }
        for status in statuses
    }


def answer(
    status: int, detail: str, *, kind: str = PLAIN, logged: str | None = None, **more: Any
) -> Response:
    """Return a problem as an answer; a 429 and a 503 carry `Retry-After`.

    `detail` may repeat what the caller sent, which the log may not: `logged` stands there instead.
    """
    _log(status, detail if logged is None else logged, shown_path(request.path, request.url_rule))
    return _problem(status, detail, kind, more)


def of_unread(refused: Refused, path: str) -> Answer:
    """Return the answer to a request that no view sees; `service/asgi.py` calls this."""
    _log(refused.status, refused.detail, shown_path(path, None))
    response = _problem(
        refused.status, refused.detail, OWN_TYPES + refused.kind if refused.kind else PLAIN, {}
    )
    response.headers["Cache-Control"] = "no-store"
    return Answer(response.status_code, list(response.headers), response.get_data())


def _log(status: int, reason: str, path: str) -> None:
    log.warning("request refused", path=path, status=status, reason=reason[:500])


def _problem(status: int, detail: str, kind: str, more: Mapping[str, Any]) -> Response:
    title = HTTPStatus(status).phrase
    content: dict[str, Any] = {"type": kind, "title": title, "status": status, "detail": detail}
    content |= {"request_id": request_ids.current(), **more}
    response = Response(json.dumps(content), status, content_type=MEDIA_TYPE)
    if status in _LATER:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


_LATER = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Statuses of what goes through if it is repeated unchanged."""


def _refused(refusal: Refusal) -> Response:
    fields = [{"field": field, "detail": problem} for field, problem in refusal.fields.items()]
    more = {"errors": fields} if fields else {}
    response = answer(
        refusal.status,
        refusal.detail,
        kind=refusal.type,
        logged=refusal.logged,
        **more,
        **refusal.more,
    )
    response.headers.update(refusal.headers)
    return response


_EXPLAINED = {
    404: "unknown path: GET /openapi.json lists all paths",
    405: "method not allowed: the Allow header lists the methods of this path",
    415: "the Content-Type must be application/json",
}


def _by_http(error: HTTPException) -> Response:
    status = error.code or 500
    response = answer(status, _EXPLAINED.get(status) or error.description or error.name)
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    if status == 415 and request.method == HTTPMethod.PATCH:
        response.headers["Accept-Patch"] = "application/json"  # RFC 5789, 2.2
    return response


def _later(error: TransientError) -> Response:
    # The log says what the caller need not know: hosts, roles, missing migrations.
    log.error(
        "request failed", path=shown_path(request.path, request.url_rule), error=shown_error(error)
    )
    return answer(503, "the database is not available now: repeat the request later")


def _unexpected(error: Exception) -> Response:
    log.error("request failed", path=shown_path(request.path, request.url_rule), exc_info=error)
    return answer(500, "internal error: the details are in the server's log")


def _refused_by_rules(error: PermanentError) -> Response:
    refusal = refusal_of(error)
    return _unexpected(error) if refusal is None else _refused(refusal)


def _is_unknown(what: str, kind: str) -> Callable[[Any], Refusal]:
    """The same words for what does not exist and for what is out of the caller's reach."""
    return lambda _: Refusal(404, f"no {what} is known", kind=kind)


def _conflicts(kind: str) -> Callable[[Any], Refusal]:
    return lambda error: Refusal(409, str(error), kind=kind)


def _short_of_credit(error: InsufficientCredit) -> Refusal:
    # `api/credit_refusals.py` adds the balance, which only a transaction knows.
    return Refusal(
        402,
        f"{error.needed} credits are needed, {error.available} are available",
        kind="not-enough-credit",
        more={"needed": error.needed, "available": error.available},
    )


def _later_at_gateway(kind: str, detail: str) -> Callable[[Any], Refusal]:
    def refusal(error: BillingError) -> Refusal:
        log.error("gateway failed", error=shown_error(error))
        return Refusal(
            503,
            f"{detail}: repeat the request with the same Idempotency-Key",
            kind=kind,
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )

    return refusal


def _refused_for_operators(error: PermanentError) -> Refusal:
    # No route is known to meet it. Its text is for operators.
    log.error("refused by a rule", error=shown_error(error))
    return Refusal(409, "this is refused: the reason is in the server's log", kind="refused")


_gateway_is_away = _later_at_gateway("gateway-unavailable", "the gateway is not available now")
_outcome_is_unknown = _later_at_gateway("outcome-unknown", "the gateway gave no clear answer")

_OF_RULES: dict[type, Callable[[Any], Refusal] | None] = {
    # The bases, for every error that has no line of its own.
    InvalidField: lambda error: bad_field(error.field, error.problem),
    NotFound: _is_unknown("such thing", "unknown"),
    PermanentError: _refused_for_operators,
    SecondPost: None,  # a mistake of ours
    # The request and its key.
    IdempotencyConflict: lambda _: Refusal(
        409,
        "this Idempotency-Key was used for another request: send a new key with a new request",
        kind="idempotency-conflict",
    ),
    AnswerNotKept: lambda error: Refusal(410, str(error), kind="answer-not-kept"),
    AnswerOutOfReach: lambda _: Refusal(
        403,
        "this Idempotency-Key was used when this API key had another product or account: send a"
        " new key",
        kind="out-of-reach",
    ),
    StatementRefused: lambda _: Refusal(
        422, "the request holds a value that cannot be stored", kind="cannot-be-stored"
    ),
    InvalidReason: lambda error: Refusal(422, str(error), fields={"reason": error.problem}),
    # Things.
    UnknownAccount: _is_unknown("account with this reference", "unknown-account"),
    UnknownDispute: _is_unknown("dispute with this id", "unknown-dispute"),
    UnknownHold: _is_unknown("hold with this id", "unknown-hold"),
    UnknownLead: _is_unknown("lead with this id", "unknown-lead"),
    UnknownPayment: _is_unknown("payment with this id", "unknown-payment"),
    UnknownRefund: _is_unknown("refund with this id", "unknown-refund"),
    # Their states.
    AccountExists: lambda _: Refusal(
        409, "an account with this reference already exists", kind="account-exists"
    ),
    AmbiguousPayment: _conflicts("ambiguous-payment"),
    CannotRefund: lambda error: Refusal(409, f"the payment {error.problem}", kind="not-refundable"),
    DisputeOpen: _conflicts("dispute-open"),
    DisputeResolved: _conflicts("dispute-resolved"),
    DisputeWindowOver: _conflicts("dispute-window-over"),
    DisputedBefore: _conflicts("disputed-before"),
    HoldFinished: lambda error: Refusal(
        409,
        f"this hold is already {error.state}",
        kind="hold-finished",
        more={"state": error.state},
    ),
    InsufficientCredit: _short_of_credit,
    LeadNotCharged: _conflicts("lead-not-charged"),
    OrderAtOdds: _conflicts("order-at-odds"),
    PlanRefused: lambda error: Refusal(
        409, f"the account cannot have this plan: {error.reason}", kind="plan-refused"
    ),
    # The gateways.
    GatewayKeyRefused: _gateway_is_away,
    GatewayNotConfigured: lambda _: bad_field("gateway", "is not configured on this server"),
    GatewayRefused: lambda error: bad_field("gateway", f"refused: {error.reason}"),
    GatewayUnavailable: _gateway_is_away,
    OutcomeUnknown: _outcome_is_unknown,
    UnknownGateway: lambda error: bad_field("gateway", str(error)),
    UnreadableAnswer: _outcome_is_unknown,
}
"""Error of the rules or of a gateway -> the problem it is to a caller; None: a mistake of ours."""
