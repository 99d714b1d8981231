"""Runs a Flask view under `require_credits`. It is charged before its answer is sent."""

import json
import logging
from collections.abc import Callable, Iterable
from hashlib import file_digest, sha256
from http import HTTPStatus
from io import BytesIO
from itertools import chain, islice
from typing import Any, cast
from uuid import uuid4

from flask import Response, current_app, request
from werkzeug.wsgi import ClosingIterator

from billing_client.errors import (
    AccountUnknown,
    BillingError,
    IdempotencyConflict,
    NotEnoughCredit,
    StillRunning,
    TooManyHolds,
    Unreachable,
)
from billing_client.paid_work import PaidWork, begin_once, hashed_key, plain_key
from billing_client.terms import Requirement, qualified_name

RETRY_AFTER_SECONDS = 5
_WORK_OF_REQUEST = "billing_client.paid_works"
_OWN_TYPES = "urn:problem-type:billing:"
_ANSWERED = (
    AccountUnknown,
    IdempotencyConflict,
    NotEnoughCredit,
    StillRunning,
    TooManyHolds,
    Unreachable,
)
"""The errors that become an answer to the customer; any other is raised."""

_log = logging.getLogger("billing_client")


def run(
    view: Callable[..., Any],
    requirement: Requirement,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Response:
    """Return the view's answer, charged for, or a problem (RFC 9457) instead of it.

    Raises what the view raises.
    """
    terms = requirement.terms_of(args, kwargs)
    name = request.headers.get("Idempotency-Key") or str(uuid4())
    own_key = requirement.own_key_of(args, kwargs)
    if own_key is not None:
        key = plain_key("own", own_key, terms.account)
    else:
        key = _key_of_request(name, view, terms.account)
    work = PaidWork(terms, key, alone_for_seconds=requirement.alone_for_seconds)
    try:
        return _paid_answer(work, name, view, args, kwargs)
    finally:
        work.leave()


def _paid_answer(
    work: PaidWork,
    name: str,
    view: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Response:
    try:
        begin_once(work, request.environ.setdefault(_WORK_OF_REQUEST, []))
    except _ANSWERED as error:
        return _problem(error, name)
    try:
        with work.current():
            # Whatever Flask lets a view return; the view may be a coroutine.
            answer = _started(
                current_app.make_response(current_app.ensure_sync(view)(*args, **kwargs))
            )
    except BaseException:
        work.release()
        raise
    if answer.status_code >= HTTPStatus.BAD_REQUEST:
        work.release()
        return answer
    try:
        work.settle()
    except _ANSWERED as error:
        answer.close()
        return _problem(error, name)
    except BaseException:
        answer.close()  # its file will not be sent
        raise
    return answer


def _started(answer: Response) -> Response:
    """Return the answer; of a streamed one the first piece is made.

    A view that is a generator runs nothing before that, so only then is it known whether it works.
    The other pieces are made while they are sent, after the charge.
    """
    if not answer.is_streamed or answer.direct_passthrough:
        return answer
    source = cast(Iterable[bytes], answer.response)
    pieces = iter(source)
    try:
        first = list(islice(pieces, 1))
    except BaseException:
        answer.close()
        raise
    close = getattr(source, "close", None)
    answer.response = ClosingIterator(chain(first, pieces), close)
    return answer


def _key_of_request(name: str, view: Callable[..., Any], account: str) -> str:
    """Return the key of this request.

    The caller chooses the name, so everything that the work depends on is part of the key: another
    body under the same name is other work and is charged. Hashed: the parts may hold anything.
    """
    return hashed_key(
        "request",
        request.method,
        request.full_path,
        _digest_of_body(),
        name,
        qualified_name(view),
        account,
    )


def _digest_of_body() -> str:
    digest = sha256()
    if "form" in request.__dict__:  # already parsed, which used up the stream
        digest.update(json.dumps(list(request.form.items(multi=True))).encode())
        for field, file in request.files.items(multi=True):
            digest.update(json.dumps((field, file.filename)).encode())
            digest.update(file_digest(cast(Any, file.stream), "sha256").digest())
            file.stream.seek(0)
    body = request.get_data()
    # Restored for a view that reads the stream itself.
    request.stream = BytesIO(body)
    digest.update(body)
    return digest.hexdigest()


def _problem(error: BillingError, name: str) -> Response:
    if isinstance(error, NotEnoughCredit):
        figures = {
            "needed": error.needed,
            "balance": error.balance,
            "available": error.available,
        }
        return _answer(402, "not-enough-credit", error.detail, **figures)
    if isinstance(error, Unreachable):
        answer = _answer(
            503,
            "credit-unavailable",
            "the credit of this request cannot be charged now: repeat it with its Idempotency-Key;"
            " it is charged once",
            idempotency_key=name,
        )
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return answer
    if isinstance(error, AccountUnknown):
        # The platform's affair, which its log names: the customer cannot do anything about it.
        _log.error("account %r of a paid view is unknown, or out of the key's reach", error.account)
        return _answer(
            404, "unknown-account", "the account that this request would be paid from is unknown"
        )
    if isinstance(error, StillRunning):
        answer = _answer(
            409,
            "request-in-progress",
            "a request with this Idempotency-Key is still in progress: repeat it later",
        )
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return answer
    if isinstance(error, IdempotencyConflict):
        return _answer(
            409,
            "idempotency-conflict",
            "this Idempotency-Key was used when the request had another price: send a new one",
        )
    return _answer(
        409, "too-many-attempts", "this Idempotency-Key has failed too often: send a new one"
    )


def _answer(status: int, kind: str, detail: str, **more: Any) -> Response:
    content = {
        "type": _OWN_TYPES + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    return Response(json.dumps(content), status, content_type="application/problem+json")
