"""The Flask app of the receiver, served by granian (see Procfile): its addresses and its answers.

Answers are small JSON: 202 recorded, 200 seen before, 400 unreadable and unsigned, 401 signature,
413 over 1 MiB, 415 not JSON, 503 could not be recorded: the sender must try again.
What a delivery must be stands in a file for each kind of sender: `lead_door.py`,
`gateway_door.py`.
"""

import sys
from functools import partial

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

import settings
from clock import development
from db import connections, schema_version
from db.roles import Role
from db.session import transaction
from errors import TransientError
from gateways import registry
from service import logs
from service.disclosure import shown_path
from webhook_receiver import gateway_door, lead_door
from webhook_receiver.answers import answer, refuse
from webhook_receiver.recorder import Recorder

log = structlog.get_logger()


def create_app() -> Flask:
    """Return the receiver, with its recorder running; called once per process."""
    try:
        configured = settings.require()
        development.follow()
    except settings.SettingsError as error:
        sys.exit(f"cannot start: {error}")
    logs.configure()
    connections.work_as(Role.DOORS)
    app = Flask(__name__)
    _add_doors(app, configured)
    _add_health(app, configured)
    _answer_errors(app)
    return app


def _add_doors(app: Flask, configured: settings.Settings) -> None:
    recorder = Recorder()
    lead_secrets = tuple(secret.get_secret_value() for secret in configured.lead_webhook_secrets)

    @app.post(lead_door.PATH)
    def leads() -> Response:
        return lead_door.accept(lead_secrets, recorder)

    for gateway, path in gateway_door.PATHS.items():
        accept = partial(gateway_door.accept, gateway, registry.webhook_secrets(gateway), recorder)
        app.add_url_rule(path, gateway, accept, methods=["POST"])


def _add_health(app: Flask, configured: settings.Settings) -> None:
    without_secret = _doors_without_secret(configured)

    @app.get("/healthz")
    def healthz() -> Response:
        return answer(200, status="alive")

    @app.get("/readyz")
    def readyz() -> Response:
        if len(without_secret) == _DOOR_COUNT:
            return _not_ready(f"no sender can deliver: set one of {', '.join(without_secret)}")
        try:
            with transaction() as session:
                found = schema_version.read(session)
        except TransientError:
            return _not_ready("the database cannot be reached")
        if not found.serves:
            return _not_ready(str(found.problem))
        if without_secret:
            return answer(200, status="ready", without_secret=", ".join(without_secret))
        return answer(200, status="ready")


def _doors_without_secret(configured: settings.Settings) -> list[str]:
    """Return the variables whose doors answer every delivery with 503."""
    found = [] if configured.lead_webhook_secrets else ["LEAD_WEBHOOK_SECRETS"]
    return found + [
        gateway_door.secrets_variable(gateway)
        for gateway in gateway_door.PATHS
        if not registry.webhook_secrets(gateway)
    ]


def _not_ready(problem: str) -> Response:
    return answer(503, error=problem)


_DOOR_COUNT = 1 + len(gateway_door.PATHS)
_DOORS = ", ".join(f"POST {path}" for path in (lead_door.PATH, *gateway_door.PATHS.values()))
_EXPLAINED = {
    404: f"no such address: {_DOORS}, GET /healthz, GET /readyz",
    405: "this address does not accept this method; see the Allow header",
}


def _answer_errors(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        response = refuse(error.code or 500, _EXPLAINED.get(error.code or 500, error.name))
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(error.valid_methods)
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        # Whatever went wrong, the delivery may not be recorded: ask for it again.
        log.error(
            "request failed",
            path=shown_path(request.path, request.url_rule),
            error=type(error).__name__,
        )
        return refuse(503, "could not be recorded; please send it again")
