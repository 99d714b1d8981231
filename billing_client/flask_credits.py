"""Runs a Flask view under `require_credits`. It is charged before its answer is sent."""

import json
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
    IdempotencyConflict,
    InvalidRequest,
    NotEnoughCredit,
    StillRunning,
    TooManyHolds,
    Unreachable,
)
from billing_client.flask_errors import answer_to
from billing_client.paid_work import PaidWork, begin_once, hashed_key, plain_key
from billing_client.steps import Run, Steps, drive, drive_async, is_async
from billing_client.terms import Requirement, qualified_name

_WORK_OF_REQUEST = "billing_client.paid_works"
_ANSWERED = (
    AccountUnknown,
    IdempotencyConflict,
    NotEnoughCredit,
    StillRunning,
    TooManyHolds,
    Unreachable,
)
"""The errors that become an answer to the customer; any other is raised."""


def run(
    view: Callable[..., Any],
    requirement: Requirement,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Response:
    """Return the view's answer, charged for, or a problem (RFC 9457) instead of it.

    Raises what the view raises.
    """
    work, name = _work_of_request(view, requirement, args, kwargs)
    # Even here it may be a coroutine: of a class with an `async` method.
    called = Run(lambda: current_app.ensure_sync(view)(*args, **kwargs))
    return drive(_paid_answer(work, name, called), work.client)


async def run_async(
    view: Callable[..., Any],
    requirement: Requirement,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Response:
    """Return what `run` does, of a view that is `async`; the client is asked in a thread."""
    work, name = _work_of_request(view, requirement, args, kwargs)
    if is_async(work.client):
        raise InvalidRequest(
            "require_credits: Flask runs each request of an `async` view in an event loop of its"
            " own: give it a BillingClient, not an AsyncBillingClient"
        )
    return await drive_async(
        _paid_answer(work, name, Run(lambda: view(*args, **kwargs))), work.client
    )


def _work_of_request(
    view: Callable[..., Any],
    requirement: Requirement,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[PaidWork, str]:
    """Return the work of this request, and the Idempotency-Key to repeat it with."""
    terms = requirement.terms_of(args, kwargs)
    name = request.headers.get("Idempotency-Key") or str(uuid4())
    own_key = requirement.own_key_of(args, kwargs)
    if own_key is not None:
        key = plain_key("own", own_key, terms.account)
    else:
        key = _key_of_request(name, view, terms.account)
    return PaidWork(terms, key, alone_for_seconds=requirement.alone_for_seconds), name


def _paid_answer(work: PaidWork, name: str, view: Run) -> Steps[Response]:
    try:
        return (yield from _held_and_charged(work, name, view))
    finally:
        work.leave()


def _held_and_charged(work: PaidWork, name: str, view: Run) -> Steps[Response]:
    try:
        yield from begin_once(work, request.environ.setdefault(_WORK_OF_REQUEST, []))
    except _ANSWERED as error:
        return answer_to(error, idempotency_key=name)
    try:
        with work.current():
            # Whatever Flask lets a view return.
            answer = _started(current_app.make_response((yield view)))
    except GeneratorExit:
        raise
    except BaseException:
        yield from work.release()
        raise
    if answer.status_code >= HTTPStatus.BAD_REQUEST:
        yield from work.release()
        return answer
    try:
        yield from work.settle()
    except _ANSWERED as error:
        answer.close()
        return answer_to(error, idempotency_key=name)
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
