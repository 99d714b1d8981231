"""Errors as pages: what is wrong and what to do, never code, SQL or an address with its token."""

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from errors import TransientError
from service import request_ids
from service.disclosure import shown_error, shown_path
from service.http_messages import Answer, Refused
from web.kit import headers
from web.kit.pages import message

log = structlog.get_logger()

_PAGES = {
    404: ("There is no such page", "Check the address: some mail programs break a long link."
          " Copy the whole of it, or open the mail again and follow the link from there."),
    405: ("This page cannot be used like that", "Open the address anew and use its buttons."),
    408: ("The connection was too slow", "Nothing was changed. Try it again."),
    413: ("That was too much at once", "Nothing was changed."),
    500: ("Something went wrong on our side", "Nothing more is needed from you for now: the error"
          " was recorded. Try it again later."),
    503: ("The service is not available right now", "Nothing was changed. Try again in a minute."),
}  # fmt: skip
_OTHER = ("This request could not be answered", "Open the address again.")


def install(app: Flask) -> None:
    """Answer every error of `app` with a page."""
    app.register_error_handler(HTTPException, _by_http)
    app.register_error_handler(TransientError, _later)
    app.register_error_handler(Exception, _unexpected)


def of_unread(app: Flask, refused: Refused, path: str) -> Answer:
    """Return the page for a request that no view sees; `service/asgi.py` calls this."""
    log.warning(
        "request refused", path=shown_path(path, None), status=refused.status, reason=refused.detail
    )
    with app.app_context():
        response = headers.add(_page(refused.status))
    return Answer(response.status_code, list(response.headers), response.get_data())


def _page(status: int) -> Response:
    title, advice = _PAGES.get(status, _OTHER)
    code = request_ids.current() or ""
    response = Response(message(title, advice, code=code), status, mimetype="text/html")
    if status == 503:
        response.headers["Retry-After"] = "60"
    return response


def _by_http(error: HTTPException) -> Response:
    status = error.code or 500
    log.warning("request refused", path=_path(), status=status, reason=error.name)
    response = _page(status)
    if allowed := getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _later(error: TransientError) -> Response:
    log.error("request failed", path=_path(), error=shown_error(error))
    return _page(503)


def _unexpected(error: Exception) -> Response:
    log.error("request failed", path=_path(), exc_info=error)
    return _page(500)


def _path() -> str:
    return shown_path(request.path, request.url_rule)
