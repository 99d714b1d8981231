"""What all pages share: the look (`templates/`, `static/`), headers, and errors as pages.

A page is a template that extends `kit/base.html`. `install` is called once, by `web/app.py`.
"""

from flask import Blueprint, Flask

from web.kit import headers, refusals, static_files
from web.kit.pages import message

__all__ = ["install", "message"]


def install(app: Flask) -> None:
    """Give `app` the look, the headers and the pages of errors."""
    app.register_blueprint(Blueprint("kit", __name__, template_folder="templates"))
    static_files.install(app)
    headers.install(app)
    refusals.install(app)
