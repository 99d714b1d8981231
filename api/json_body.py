"""How a request's body is read: once, as strictly as every other door reads."""

import json
from typing import Any

from flask import Request as FlaskRequest
from flask import current_app
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

MAX_BODY_BYTES = 64 * 1024
WITHOUT_BODY = "without_body"
"""The attribute of a view function that says whether its body may be left out."""


class Request(FlaskRequest):
    """A request whose JSON is handed to pydantic as text.

    Flask's own reader would take NaN and leave times and numbers to be guessed at. Flask-OpenAPI
    gives a text to `model_validate_json`, where a strict model is strict about JSON. It too would
    keep the last of two equal names, so those are refused here: whoever looked at the request on
    its way may have read the first.
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
        try:
            text = self.body().decode()
        except UnicodeDecodeError:
            raise BadRequest("the body must be UTF-8") from None
        if _gives_a_field_twice(text):
            raise BadRequest("the body gives a field twice")
        return text

    def body(self) -> bytes:
        """Return the body as it was sent, again and again; raises 413."""
        body = self.get_data()
        if len(body) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        return body


def _gives_a_field_twice(text: str) -> bool:
    twice = False

    def look(fields: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in fields}) < len(fields)

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False  # no JSON: the model says so
    return twice
