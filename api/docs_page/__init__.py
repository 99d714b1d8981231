"""`/docs`: the OpenAPI document as a page for people, by Swagger UI. Used by `api/app.py`.

Swagger UI comes whole from a package on PyPI, so the page asks no other host: no fonts, no content
delivery network, no telemetry. `POLICY` makes the browser hold that promise. All addresses in it
are relative, so that it works behind any path of a proxy.
"""

from functools import cache
from hashlib import sha256
from importlib import resources

from flask import Flask, Response, request

ADDRESS = "/docs"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the icons in Swagger UI's style sheet
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The Content-Security-Policy of the page."""
_SAFE = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_OF_SWAGGER_UI = {
    "swagger-ui.css": ("css/swagger-ui.css", "text/css"),
    "swagger-ui.js": ("js/swagger-ui-bundle.js", "text/javascript"),
}
_OURS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
FILES = frozenset({*_OF_SWAGGER_UI, *_OURS})
"""What the page consists of, under `ADDRESS`."""


def add(app: Flask) -> None:
    """Add the page and its files to the routes that need no key."""

    @app.route(ADDRESS)
    def docs() -> Response:
        return _answer("page.html", "text/html; charset=utf-8")

    @app.route(f"{ADDRESS}/<any({', '.join(map(repr, sorted(FILES)))}):name>")
    def docs_file(name: str) -> Response:
        media_type = _OURS.get(name) or _OF_SWAGGER_UI[name][1]
        return _answer(name, f"{media_type}; charset=utf-8")


def _answer(name: str, content_type: str) -> Response:
    response = Response(_content(name), content_type=content_type)
    response.headers.update(_SAFE)
    # The next release of this service may bring other files under the same names.
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(_etag(name))
    response.make_conditional(request)
    return response


@cache
def _content(name: str) -> bytes:
    if name in _OF_SWAGGER_UI:
        folder = resources.files("flask_openapi_swagger") / "templates" / "swagger"
        return (folder / _OF_SWAGGER_UI[name][0]).read_bytes()
    return (resources.files(__name__) / name).read_bytes()


@cache
def _etag(name: str) -> str:
    return sha256(_content(name)).hexdigest()[:32]
