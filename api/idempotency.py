"""`Idempotency-Key`: a POST is done once for its key, and each repeat gets the same answer.

`api/routes.py` puts every POST through `once`, so that no view can forget it. A view may

- call `keep(session, content)` to store the answer in the transaction of its effect. A view whose
  effect is one transaction must do so: then the two cannot come apart;
- call `not_final()` to send this answer without storing it: a repeat runs the view again;
- raise: after a refusal (4xx) the key is free again; after any other error only the same request
  may be repeated under it;
- build keys of its own from `operation_key()`, which is the same at each repeat.

The rules of the table are in `billing/access/idempotency.py`.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, cast
from urllib.parse import quote

from flask import Response, g, request
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy.orm import Session

from api import auth, rule_refusals
from api.json_body import Request
from api.problems import RETRY_AFTER_SECONDS, Refusal
from billing.access import idempotency as api_requests
from billing.access.idempotency import Answer, LeaseLost, RequestLease
from db.session import pooled_statement, transaction
from errors import TransientError

KEY_MAX_LENGTH = 255
OPERATION_KEY_MAX_LENGTH = 200
"""Leaves room for what a view appends, in the 255 characters of a ledger key."""
WAIT_SECONDS = 20.0
"""How long a repeat waits for the answer of the first request while that is in progress."""
POLL_SECONDS = 0.05
_HASHED = "sha256-"


def _visible_ascii(value: str) -> str:
    if not all("!" <= letter <= "~" for letter in value):
        raise ValueError("must be visible ASCII characters, without spaces")
    return value


class Headers(BaseModel):
    """The headers of every POST."""

    idempotency_key: Annotated[str, AfterValidator(_visible_ascii)] = Field(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_MAX_LENGTH,
        description="visible ASCII of your choice without a comma, a new key for each operation: a"
        " repeat with the same key does nothing more and gets the first answer again",
        json_schema_extra={"pattern": r"^[!-+\--~]+$"},
    )

    @classmethod
    @lru_cache  # Flask-OpenAPI calls it for each request
    def model_json_schema(  # type: ignore[override]  # the options are pydantic's
        cls, *args: Any, **options: Any
    ) -> dict[str, Any]:
        """Return pydantic's schema of the class, computed once."""
        return super().model_json_schema(*args, **options)


@dataclass(slots=True)
class _Operation:
    """The request in progress."""

    lease: RequestLease
    status: int
    kept: str | None = None
    final: bool = True


def once(work: Callable[[], BaseModel], *, key: str, status: int) -> Response:
    """Do `work` and answer `status` with its model, or repeat the answer stored under this key.

    Raises `Refusal` 409 if the key belongs to another request, or if the first request is still
    in progress after `WAIT_SECONDS`; 410 if its answer is not kept any more; 403 if the API key
    could see something else when it made that; and whatever `work` raises, an error of the rules
    as its `Refusal`.
    """
    found = _lease_or_answer(key)
    if isinstance(found, Answer):
        return _response(found, replayed=True)
    g.operation = operation = _Operation(found, status)
    try:
        with rule_refusals.refusals_of_rules():
            done = _done(work, operation)
        return _response(done, replayed=False)
    except LeaseLost:
        raise _in_progress() from None
    except BaseException as error:
        _give_up(operation, free=isinstance(error, Refusal) and error.status < 500)
        raise


def keep(session: Session, content: BaseModel) -> None:
    """Store the answer in the transaction of `session`: effect and answer are committed together.

    Raises `LeaseLost`, which the view must not catch.
    """
    operation = _operation()
    text = content.model_dump_json()
    api_requests.finish(session, operation.lease, Answer(operation.status, text))
    operation.kept = text


def not_final() -> None:
    """Send this request's answer without storing it: a repeat under its key runs the view again."""
    _operation().final = False


def operation_key() -> str:
    """Return the permanent name of this request, from its caller and key; at most 200 characters.

    For the keys that a view passes to the ledger or to a gateway: a repeat passes the same ones,
    and no other request has them.
    """
    lease = _operation().lease
    return lease.operation_key or operation_key_of(lease.caller, lease.key)


def operation_key_of(caller: str, key: str) -> str:
    """Return the name of the request of `caller`, which holds no colon, under `key`.

    A key that is too long is hashed; so is one that looks like a hash, or it could be the name of
    another request.
    """
    plain = f"api:{caller}:{key}"
    if len(plain) <= OPERATION_KEY_MAX_LENGTH and not key.startswith(_HASHED):
        return plain
    return f"api:{caller}:{_HASHED}{sha256(key.encode()).hexdigest()}"


def _operation() -> _Operation:
    return cast(_Operation, g.operation)


def _lease_or_answer(key: str) -> RequestLease | Answer:
    asked = _asked_request(key)
    with pooled_statement() as cursor:
        new = api_requests.lease_new(cursor, asked)
    return new or _wait_for_known(asked)


def _wait_for_known(asked: api_requests.Request) -> RequestLease | Answer:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with rule_refusals.refusals_of_rules(), transaction() as session:
            found = api_requests.lease(session, asked)
        if found is not None:
            return found
        if time.monotonic() >= deadline:
            raise _in_progress()
        time.sleep(POLL_SECONDS)


def _asked_request(key: str) -> api_requests.Request:
    # Quoted: a path may hold characters that PostgreSQL cannot store.
    address = f"{request.method} {quote(request.path)}"
    body = cast(Request, request).body()
    digest = sha256(address.encode() + b"\n" + body).digest()
    caller = auth.caller()
    return api_requests.Request(caller.identity, key, address, digest, caller.reach)


def _done(work: Callable[[], BaseModel], operation: _Operation) -> Answer:
    content = work()
    if operation.kept is not None:
        return Answer(operation.status, operation.kept)
    answer = Answer(operation.status, content.model_dump_json())
    with transaction() as session:
        if operation.final:
            api_requests.finish(session, operation.lease, answer)
        else:
            api_requests.abandon(session, operation.lease)
    return answer


def _give_up(operation: _Operation, *, free: bool) -> None:
    # If the database is gone too, the lease expires by itself; the first error is the one raised.
    with suppress(TransientError), transaction() as session:
        (api_requests.free if free else api_requests.abandon)(session, operation.lease)


def _response(answer: Answer, *, replayed: bool) -> Response:
    response = Response(answer.text, answer.status, content_type="application/json")
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _in_progress() -> Refusal:
    return Refusal(
        409,
        "a request with this Idempotency-Key is still in progress: repeat it later",
        kind="request-in-progress",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
