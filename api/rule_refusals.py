"""Which refusal each error of the rules and of the gateways is to a caller of the API.

`_OF_RULES` is the one place that says so. `api/routes.py` and `api/idempotency.py` put a view into
`refusals_of_rules`; `api/problems.py` writes the answer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from flask import Flask, Response

from api import problems
from api.problems import RETRY_AFTER_SECONDS, Refusal, bad_field, unknown
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
from billing.notices import ContactExists, TooManyContacts, UnknownContact
from billing.payments import AmbiguousPayment, OrderAtOdds, UnknownPayment
from billing.plans import PlanRefused
from billing.returns import CannotRefund, UnknownRefund
from billing.topics import UnknownTopic
from db.errors import StatementRefused
from errors import BillingError, InvalidField, NotFound, PermanentError
from gateways.errors import (
    GatewayKeyRefused,
    GatewayNotConfigured,
    GatewayRefused,
    GatewayUnavailable,
    OutcomeUnknown,
    UnknownGateway,
    UnreadableAnswer,
)
from service.disclosure import shown_error

log = structlog.get_logger()


def install(app: Flask) -> None:
    """Answer every error of the rules and of the gateways that reaches `app` with a problem."""
    app.register_error_handler(PermanentError, _by_rules)


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


def _by_rules(error: PermanentError) -> Response:
    refusal = refusal_of(error)
    return problems.unexpected(error) if refusal is None else problems.refused(refusal)


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
    NotFound: lambda _: Refusal(404, "no such thing is known", kind="unknown"),
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
    UnknownTopic: lambda error: bad_field("type", error.problem),
    InvalidReason: lambda error: Refusal(422, str(error), fields={"reason": error.problem}),
    # Things.
    UnknownAccount: lambda _: unknown("account", by="reference"),
    UnknownContact: lambda _: unknown("contact"),
    UnknownDispute: lambda _: unknown("dispute"),
    UnknownHold: lambda _: unknown("hold"),
    UnknownLead: lambda _: unknown("lead"),
    UnknownPayment: lambda _: unknown("payment"),
    UnknownRefund: lambda _: unknown("refund"),
    # Their states.
    AccountExists: lambda _: Refusal(
        409, "an account with this reference already exists", kind="account-exists"
    ),
    AmbiguousPayment: _conflicts("ambiguous-payment"),
    CannotRefund: lambda error: Refusal(409, f"the payment {error.problem}", kind="not-refundable"),
    ContactExists: lambda error: Refusal(
        409, str(error), kind="contact-exists", more={"contact_id": error.contact_id}
    ),
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
    TooManyContacts: _conflicts("too-many-contacts"),
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
