"""Bodies of webhooks in the form in which each gateway writes them, with made-up values."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "payloads"

RAZORPAY = sorted(path.stem for path in (_FOLDER / "razorpay").glob("*.json"))
STRIPE = sorted(path.stem for path in (_FOLDER / "stripe").glob("*.json"))

Edit = Callable[[dict[str, Any]], object]


def razorpay(name: str) -> bytes:
    """Return a body byte for byte: of payments as it comes, of refunds and links sorted."""
    return (_FOLDER / "razorpay" / f"{name}.json").read_bytes()


def stripe(name: str) -> bytes:
    """Return a body byte for byte: pretty-printed."""
    return (_FOLDER / "stripe" / f"{name}.json").read_bytes()


def edited(body: bytes, edit: Edit) -> bytes:
    """Return the body with something changed in it."""
    content: dict[str, Any] = json.loads(body)
    edit(content)
    return json.dumps(content).encode()
