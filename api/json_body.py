"""The body of a request as strict JSON, for `api/app.py` and `api/idempotency.py`.

`api/server.py` has it whole, and not too long, before the app is called.
"""

from typing import Any

from flask import Request as FlaskRequest
from flask import current_app
from werkzeug.exceptions import UnsupportedMediaType

from service import http_bodies

MAX_BODY_BYTES = 64 * 1024
WITHOUT_BODY = "without_body"
"""The attribute of a view function that says whether the body may be left out."""


class Request(FlaskRequest):
    """A request that passes its JSON to pydantic as text.

    Flask's own parser would accept NaN and lose the types of JSON. Flask-OpenAPI passes a text to
    `model_validate_json`, where a strict model is strict about JSON. Both would keep the last of
    two fields with the same name, so those are refused here.
    """

    def get_json(self, *_args: Any, **_options: Any) -> str:
        """Return the body as text.

        Raises 415, or 400 if it is not UTF-8 or has a field twice.
        """
        view = current_app.view_functions.get(self.endpoint or "")
        if getattr(view, WITHOUT_BODY, False) and not self.body():
            return "{}"
        if self.mimetype != "application/json":
            raise UnsupportedMediaType
        return http_bodies.json_text(self.body())

    def body(self) -> bytes:
        """Return the body as it was sent; may be called repeatedly."""
        return self.get_data()
