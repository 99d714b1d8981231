"""Examples of the OpenAPI document: what a route is sent and what it answers.

Each route declares one beside it (`api/routes.py`), and `api/document.py` writes it into the
document. Together they tell one story, of the clinic clinic:42 and its credit.
`tests/api/test_examples.py` sends each to a running API in the order of the story: the answer must
be the one that is declared here, apart from ids and times.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that is refused, and the problem that is the answer.

    `kind` is the last part of the problem's type, or empty for `about:blank`; `more` are its
    further members. `path`, `query` and `body` are what is sent otherwise than in the route's
    example.
    """

    status: int
    kind: str
    detail: str
    more: Mapping[str, Any] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return its name in the document."""
        return self.kind or HTTPStatus(self.status).phrase.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Example:
    """A request that is answered, and requests that are refused.

    `path` and `query` hold texts as they are sent; `body` is None for a route without a body. Every
    field of the answer is given, in the order of the answer.
    """

    answer: Mapping[str, Any]
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    refused: tuple[Refused, ...] = ()


UNKNOWN_ACCOUNT = Refused(
    404,
    "unknown-account",
    "no account with this reference is known",
    path={"ref": "clinic:43"},
)
UNKNOWN_ACCOUNT_IN_BODY = replace(UNKNOWN_ACCOUNT, path={}, body={"account": "clinic:43"})
UNKNOWN_LEAD = Refused(
    404, "unknown-lead", "no lead with this id is known", path={"lead_id": "L-18"}
)

_PRODUCTS = "must be one of clinic_leads, pharmapulse_one"
UNKNOWN_PRODUCT = Refused(
    422,
    "invalid-fields",
    f"product: {_PRODUCTS}",
    {"errors": [{"field": "product", "detail": _PRODUCTS}]},
    query={"product": "leads"},
)

COMMON_REFUSALS = (
    Refused(400, "", "the body is not JSON"),
    Refused(401, "", "this API key is not valid"),
    Refused(403, "missing-scope", "this API key lacks the scope orders:write"),
    Refused(408, "", "the body did not come within 10 seconds"),
    Refused(
        409,
        "idempotency-conflict",
        "this Idempotency-Key was used for another request: send a new key with a new request",
    ),
    Refused(
        409,
        "request-in-progress",
        "a request with this Idempotency-Key is still in progress: repeat it later",
    ),
    Refused(
        410,
        "answer-not-kept",
        "the request with this Idempotency-Key was answered 201, and is older than answers are"
        " kept: nothing was done now. Look up what it did; send a new key with a new request",
    ),
    Refused(413, "", "the body must be at most 65536 bytes"),
    Refused(415, "", "the Content-Type must be application/json"),
    Refused(
        422,
        "invalid-fields",
        "account: Field required",
        {"errors": [{"field": "account", "detail": "Field required"}]},
    ),
    Refused(
        429,
        "too-many-requests",
        "too many requests of this API key are in progress: send fewer at once, and repeat this"
        " one later",
    ),
    Refused(500, "", "internal error: the details are in the server's log"),
    Refused(503, "", "the database is not available now: repeat the request later"),
)
"""What any route may answer; a route's own refusals stand before them."""
