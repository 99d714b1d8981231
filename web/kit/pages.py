"""A page that says one thing: the answer to a button, and each error."""

from collections.abc import Sequence

from flask import render_template


def message(title: str, *paragraphs: str, product: str | None = None, code: str = "") -> str:
    """Return a page of a heading and paragraphs; `product` stands above it, `code` below."""
    shown: Sequence[str] = paragraphs
    return render_template(
        "kit/message.html", title=title, paragraphs=shown, product=product, code=code
    )
