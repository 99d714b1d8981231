"""The Flask app of the receiver, served by granian (see Procfile).

Answers, small and JSON: 202 recorded, 200 seen before, 400 unreadable and unsigned, 401
signature, 413 over 1 MiB, 415 not JSON, 503 could not be recorded: the sender tries again.
"""

import json
import sys

import structlog
from flask import Flask, Response, request
from pydantic import SecretStr
from sqlalchemy import text
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

import clock
import settings
from db.errors import TransientError
from db.inbox import NewEvent
from db.session import transaction
from gateways import standard_webhooks
from tasks import nudges
from webhook_receiver.recorder import NotRecorded, Recorder
from worker import logs
from worker.lingering import answer_then_read

MAX_BODY_BYTES = 1024 * 1024

log = structlog.get_logger()


def create_app() -> Flask:
    """Return the receiver, with its recorder running. One call a process."""
    try:
        secrets = settings.get().lead_webhook_secrets
    except settings.SettingsError as error:
        sys.exit(f"cannot start: {error}")
    logs.configure()
    app = Flask(__name__)
    # One more: a body of unannounced length is cut there without a word (werkzeug 3.1).
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    recorder = Recorder()

    @app.post("/webhooks/leads")
    def leads() -> Response:
        return _accept_lead(secrets, recorder)

    @app.get("/healthz")
    def healthz() -> Response:
        return _answer(200, status="alive")

    @app.get("/readyz")
    def readyz() -> Response:
        try:
            with transaction() as session:
                session.execute(text("SELECT 1"))
        except TransientError:
            return _answer(503, error="the database cannot be reached")
        return _answer(200, status="ready")

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        response = _refuse(error.code or 500, _EXPLAINED.get(error.code or 500, error.name))
        if isinstance(error, RequestEntityTooLarge):
            body = request.environ["wsgi.input"]
            response.response = answer_then_read(response.get_data(), body)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(error.valid_methods)
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        # Whatever went wrong here, the delivery is not known to be recorded: ask for it again.
        log.error("request failed", path=request.path, error=type(error).__name__)
        return _refuse(503, "could not be recorded; please send it again")

    return app


_EXPLAINED = {
    404: "no such address: POST /webhooks/leads, GET /healthz, GET /readyz",
    405: "this address takes another method",
    413: f"the body must be at most {MAX_BODY_BYTES} bytes",
}


def _accept_lead(secrets: tuple[SecretStr, ...], recorder: Recorder) -> Response:
    if not secrets:
        return _refuse(503, "this receiver has no LEAD_WEBHOOK_SECRETS yet; please send it again")
    if request.mimetype != "application/json":
        return _refuse(415, "the Content-Type must be application/json")
    body = request.get_data(cache=False)
    if len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    now = clock.now()
    message_id = request.headers.get("webhook-id")
    try:
        standard_webhooks.verify(
            [secret.get_secret_value() for secret in secrets],
            message_id=message_id,
            timestamp=request.headers.get("webhook-timestamp"),
            signatures=request.headers.get("webhook-signature"),
            body=body,
            now=now,
        )
    except standard_webhooks.SignatureError as error:
        return _refuse(401, str(error)) if _is_json(body) else _refuse(400, "not JSON, not signed")
    try:
        is_new = recorder.record(NewEvent("leads", message_id or "", body, now))
    except NotRecorded as error:
        log.error("event not recorded", source="leads", error=str(error))
        return _refuse(503, "could not be recorded; please send it again")
    if not is_new:
        return _answer(200, status="seen before")
    nudges.soon("leads")
    return _answer(202, status="recorded")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(status: int, error: str) -> Response:
    log.warning("request refused", path=request.path, status=status, reason=error)
    response = _answer(status, error=error)
    if status == 503:
        response.headers["Retry-After"] = "5"
    return response


def _answer(status: int, /, **content: str) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")
