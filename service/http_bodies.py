"""What every server makes of a body: strict JSON.

Used by the API (`api/json_body.py`) and the webhook receiver. `service/asgi.py` reads the body.
"""

import json
from typing import Any

from werkzeug.exceptions import BadRequest


def json_text(body: bytes) -> str:
    """Return the text of a JSON body for a parser that does not see a field given twice.

    Whoever looked at the request on its way may have read the first of the two. Raises 400 for
    such a body and for one that is not UTF-8. Text that is not JSON is left to the parser.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("the body must be UTF-8") from None
    if _has_a_field_twice(text):
        raise BadRequest("the body has the same field twice")
    return text


def is_json(body: bytes) -> bool:
    """Tell whether a body is JSON at all."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _has_a_field_twice(text: str) -> bool:
    twice = False

    def look(fields: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in fields}) < len(fields)

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False
    return twice
