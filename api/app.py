"""The Flask app of the API; `api/server.py` serves it.

Each resource is a file with a blueprint, listed in `RESOURCES`. `api/routes.py` says how a route
is written, `api/auth.py` who may call it, `api/problems.py` what a refusal looks like. The document
at /openapi.json is made from the same declarations.
"""

import json
import sys
from functools import cache
from importlib.metadata import version

from flask import Response, jsonify
from flask_openapi import APIBlueprint, OpenAPI
from werkzeug.routing import PathConverter

import settings
from api import (
    account_lists,
    accounts,
    auth,
    catalog,
    charges,
    contacts,
    disputes,
    docs_page,
    document,
    events,
    holds,
    leads,
    orders,
    payments,
    plans,
    problems,
    refunds,
    request_log,
    rule_refusals,
    statements,
)
from api.json_body import Request
from billing.catalog import CatalogError
from billing.catalog import get as get_catalog
from clock import development as development_clock
from db import connections, schema_version
from db.roles import Role
from db.session import transaction
from service import logs

RESOURCES: tuple[APIBlueprint, ...] = (
    accounts.accounts,
    account_lists.account_lists,
    leads.leads,
    disputes.disputes,
    orders.orders,
    payments.payments,
    plans.plans,
    refunds.refunds,
    holds.holds,
    charges.charges,
    catalog.catalog,
    statements.statements,
    contacts.contacts,
    events.events,
)
CONNECTIONS = 16
"""As many as threads that call the app: a request that waits for a lock must not delay others."""


def create_app() -> OpenAPI:
    """Return the app; called once in a process."""
    try:
        settings.require()
        development_clock.follow()
        get_catalog()
    except (settings.SettingsError, CatalogError) as error:
        sys.exit(f"cannot start: {error}")
    logs.configure()
    connections.allow_connections(CONNECTIONS)
    connections.work_as(Role.DOORS)
    app = OpenAPI(
        __name__,
        info={
            "title": "Credit billing",
            "version": version("credit-billing-workers"),
            "description": document.INTRODUCTION,
        },
        servers=[document.server()],
        security_schemes={auth.SCHEME: document.security_scheme()},
        validation_error_model=problems.Problem,
        validation_error_callback=problems.of_fields,
        doc_ui=False,
        static_folder=None,
    )
    # The parts in use are the same in 3.1, which more client generators read than 3.2.
    app.openapi_version = "3.1.1"
    app.request_class = Request
    app.url_map.converters["any_id"] = _AnyId
    app.url_map.merge_slashes = False  # they may be part of an id
    app.before_request(auth.admit)
    app.after_request(_keep_private)
    request_log.install(app)
    problems.install(app)
    rule_refusals.install(app)
    _add_open_routes(app)
    for resource in RESOURCES:
        app.register_api(resource)
    return app


class _AnyId(PathConverter):
    """An id as the last part of a path, slashes included: servers decode %2F early."""

    regex = "(?s:.+)"
    part_isolating = False  # or werkzeug would match one part between slashes


def _add_open_routes(app: OpenAPI) -> None:
    """Add the routes that need no key."""
    docs_page.add(app)

    @cache
    def described() -> str:
        # In the order of the models, which is the one to read them in.
        return json.dumps(document.complete(app.api_doc))

    @app.route("/openapi.json")
    def openapi() -> Response:
        return Response(described(), content_type="application/json")

    @app.route("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @app.route("/readyz")
    def readyz() -> Response:
        with transaction() as session:
            found = schema_version.read(session)
        if not found.serves:
            return problems.answer(503, str(found.problem))
        return jsonify(status="ready")


def _keep_private(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    return response
