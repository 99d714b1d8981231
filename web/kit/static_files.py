"""The stylesheet and the icon, at addresses that hold their digest: kept by browsers for a year.

Templates ask `static_address(name)`. It begins with the path of WEB_URL, if a proxy has put the
pages below one.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from urllib.parse import urlsplit

from flask import Flask, Response, abort

import settings

KINDS = {"page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
_KEPT = "public, max-age=31536000, immutable"


def install(app: Flask) -> None:
    """Serve the files, and let templates ask for their addresses."""
    app.add_url_rule("/static/<digest>/<name>", "static", _file)
    app.jinja_env.globals["static_address"] = address


def address(name: str) -> str:
    """Return the address of a file of ours, without scheme and host."""
    below = urlsplit(settings.get().web_url).path
    return f"{below}/static/{_digest(name)}/{name}"


def _file(digest: str, name: str) -> Response:
    if name not in KINDS:
        abort(404)
    kept = _KEPT if digest == _digest(name) else "no-store"  # or an old address had new bytes
    return Response(_read(name), content_type=KINDS[name], headers={"Cache-Control": kept})


@cache
def _read(name: str) -> bytes:
    return (files("web.kit") / "static" / name).read_bytes()


@cache
def _digest(name: str) -> str:
    return sha256(_read(name)).hexdigest()[:12]
