"""How a request's body is read: once, as strictly as every other door reads."""

from typing import Any

from flask import Request as FlaskRequest
from flask import current_app
from werkzeug.exceptions import UnsupportedMediaType

from service import http_bodies

MAX_BODY_BYTES = 64 * 1024
WITHOUT_BODY = "without_body"
"""The attribute of a view function that says whether its body may be left out."""


class Request(FlaskRequest):
    """A request whose JSON is handed to pydantic as text.

    Flask's own reader would take NaN and leave times and numbers to be guessed at. Flask-OpenAPI
    gives a text to `model_validate_json`, where a strict model is strict about JSON. It too would
    keep the last of two equal names, so those are refused here.
    """

    def get_json(self, *_args: Any, **_options: Any) -> str:
        """Return the body, not parsed.

        Raises 413, 415, or 400 where it is not UTF-8 or gives a field twice.
        """
        view = current_app.view_functions.get(self.endpoint or "")
        if getattr(view, WITHOUT_BODY, False) and not self.body():
            return "{}"
        if self.mimetype != "application/json":
            raise UnsupportedMediaType
        return http_bodies.json_text(self.body())

    def body(self) -> bytes:
        """Return the body as it was sent, again and again; raises 413."""
        return http_bodies.read_body(self, max_bytes=MAX_BODY_BYTES)
