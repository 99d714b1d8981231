"""The Flask app of the pages for people; `web/server.py` serves it.

Each part is a package with a blueprint and its templates, listed in `PARTS`; `web/kit` has what
they share: the look, the strict headers, and errors as pages. Every page works without JavaScript.
"""

import sys

from flask import Blueprint, Flask, Response

import settings
from billing.catalog import CatalogError
from billing.catalog import get as get_catalog
from clock import development as development_clock
from db import connections, schema_version
from db.roles import Role
from db.session import transaction
from errors import TransientError
from service import logs, signing
from web import kit, links

PARTS: tuple[Blueprint, ...] = (links.unsubscribing, links.signed_links)
CONNECTIONS = 8
"""As many as threads that call the app."""


def create_app() -> Flask:
    """Return the app; called once in a process."""
    try:
        settings.require()
        development_clock.follow()
        get_catalog()
        signing.require_secret()
    except (settings.SettingsError, CatalogError, signing.NoWebSecret) as error:
        sys.exit(f"cannot start: {error}")
    logs.configure()
    connections.allow_connections(CONNECTIONS)
    connections.work_as(Role.DOORS)
    app = Flask(__name__, static_folder=None, template_folder=None)
    kit.install(app)
    _add_health(app)
    app.add_url_rule("/", "home", _home)
    for part in PARTS:
        app.register_blueprint(part)
    return app


def _add_health(app: Flask) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return _plain(200, "alive")

    @app.get("/readyz")
    def readyz() -> Response:
        try:
            with transaction() as session:
                found = schema_version.read(session)
        except TransientError:
            return _plain(503, "the database cannot be reached")
        if not found.serves:
            return _plain(503, str(found.problem))
        return _plain(200, "ready")


def _home() -> str:
    return kit.message("Billing", "Each page here is opened by a link in a mail.")


def _plain(status: int, text: str) -> Response:
    return Response(text + "\n", status, content_type="text/plain; charset=utf-8")
