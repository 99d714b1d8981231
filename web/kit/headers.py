"""The headers of every answer: a page may load our stylesheet, send its own forms, and no more."""

from flask import Flask, Response

POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}
"""The address of a page holds what opens it: nobody caches it, is sent it, or finds it."""


def install(app: Flask) -> None:
    """Set them on each answer that does not have its own."""
    app.after_request(add)


def add(response: Response) -> Response:
    """Set the headers on an answer that has none of that name."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
