"""The body of a request as strict JSON, for `api/app.py` and `api/idempotency.py`."""

import json
from typing import Any

from flask import Request as FlaskRequest
from flask import current_app
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

MAX_BODY_BYTES = 64 * 1024
WITHOUT_BODY = "without_body"
"""The attribute of a view function that says whether the body may be left out."""


class Request(FlaskRequest):
    """A request that passes its JSON to pydantic as text.

    Flask's own parser would accept NaN and lose the types of JSON. Flask-OpenAPI passes a text to
    `model_validate_json`, where a strict model is strict about JSON. Both would keep the last of
    two fields with the same name, so those are refused here: a proxy on the way may have read the
    first.
    """

    def get_json(self, *_args: Any, **_options: Any) -> str:
        """Return the body as text.

        Raises 413, 415, or 400 if it is not UTF-8 or has a field twice.
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
        if _has_a_field_twice(text):
            raise BadRequest("the body has the same field twice")
        return text

    def body(self) -> bytes:
        """Return the body as it was sent; may be called repeatedly. Raises 413."""
        body = self.get_data()
        if len(body) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        return body


def _has_a_field_twice(text: str) -> bool:
    twice = False

    def look(fields: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in fields}) < len(fields)

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False  # not JSON: the model reports it
    return twice
