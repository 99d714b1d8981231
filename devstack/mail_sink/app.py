"""The sink's page: the list, each mail as a reader would see it, its bytes, and JSON for tests.

A mail is untrusted here as in any mail program: its HTML is shown in a frame without scripts, forms
and foreign pictures, from an address whose policy says the same.
"""

import re

from flask import Flask, Response, abort, jsonify, render_template

from devstack.mail_sink.store import Mail, Store

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'self';"
    " sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""Links open in a window of their own; nothing else leaves the frame."""


def create_app(store: Store) -> Flask:
    """Return the app over one store."""
    app = Flask(__name__)

    @app.after_request
    def label(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Development-Tool"] = "mail sink"
        return response

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @app.get("/")
    def mails() -> str:
        return render_template("mails.html", title="Mails", mails=list(store.mails()))

    @app.get("/mails.json")
    def mails_json() -> Response:
        return jsonify(mails=[mail.as_json() for mail in store.mails()])

    @app.get("/mails/<mail_id>")
    def one(mail_id: str) -> str:
        mail = _get(mail_id)
        title = mail.header("Subject") or "(no subject)"
        return render_template("mail.html", title=title, mail=mail)

    @app.get("/mails/<mail_id>/html")
    def html(mail_id: str) -> Response:
        shown = _get(mail_id).html()
        if shown is None:
            abort(404)
        # Or a link would open our pages inside of the frame, which they refuse.
        shown = re.sub(r"(?i)<head[^>]*>", r'\g<0><base target="_blank">', shown, count=1)
        response = Response(shown, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = MAIL_POLICY
        return response

    @app.get("/mails/<mail_id>/raw")
    def raw(mail_id: str) -> Response:
        response = Response(_get(mail_id).raw, content_type="message/rfc822")
        response.headers["Content-Disposition"] = f'attachment; filename="{mail_id}.eml"'
        return response

    def _get(mail_id: str) -> Mail:
        return store.find(mail_id) or abort(404)

    return app
