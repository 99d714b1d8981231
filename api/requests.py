"""How a request's body is read: once, as strictly as every other door reads."""

from typing import Any

from flask import Request as FlaskRequest
from flask import current_app
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

MAX_BODY_BYTES = 64 * 1024
WITHOUT_BODY = "without_body"
"""The attribute of a view function that says whether its body may be left out."""


class Request(FlaskRequest):
    """A request whose JSON is handed to pydantic as text.

    Flask's own reader would take NaN, keep the last of two equal names and leave times and numbers
    to be guessed at. Flask-OpenAPI gives a text to `model_validate_json`, where a strict model is
    strict about JSON.
    """

    def get_json(self, *_args: Any, **_options: Any) -> str:
        """Return the body, not parsed; raises 413, 415, or 400 where it is not UTF-8."""
        view = current_app.view_functions.get(self.endpoint or "")
        if getattr(view, WITHOUT_BODY, False) and not self.body():
            return "{}"
        if self.mimetype != "application/json":
            raise UnsupportedMediaType
        try:
            return self.body().decode()
        except UnicodeDecodeError:
            raise BadRequest("the body must be UTF-8") from None

    def body(self) -> bytes:
        """Return the body as it was sent, again and again; raises 413."""
        body = self.get_data()
        if len(body) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        return body
