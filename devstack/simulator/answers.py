"""Answers in JSON, with the keys in the order they were put in."""

import json
from typing import Any

from flask import Response


def answer(content: Any, status: int = 200, *, indent: int | None = None) -> Response:
    """Return a response; Flask's own `jsonify` would sort the keys."""
    return Response(json.dumps(content, indent=indent), status, content_type="application/json")
