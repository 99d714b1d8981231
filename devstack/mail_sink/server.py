"""The two servers of a sink in one process: SMTP on an event loop of its own, and the page."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from devstack import ports
from devstack.mail_sink.app import create_app
from devstack.mail_sink.store import Store

log = logging.getLogger("mail sink")
MOST_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Running:
    """A sink that answers."""

    store: Store
    url: str
    smtp_url: str
    """What SMTP_URL is set to."""


@contextmanager
def running(store: Store, *, port: int, smtp_port: int) -> Iterator[Running]:
    """Run a sink for as long as the block lasts."""
    smtp = _smtp(store, smtp_port)
    smtp.start()
    try:
        server = _pages(store, port)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            url = f"http://{ports.HOST}:{server.server_port}"
            yield Running(store, url, f"smtp://{ports.HOST}:{smtp_port}")
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    finally:
        smtp.stop()


def serve(store: Store, *, port: int, smtp_port: int) -> None:
    """Run a sink until the process is interrupted."""
    with running(store, port=port, smtp_port=smtp_port) as sink:
        log.info("mail sink: takes mails at %s, shows them at %s", sink.smtp_url, sink.url)
        threading.Event().wait()


def _smtp(store: Store, port: int) -> Controller:
    return Controller(
        _Handler(store), hostname=ports.HOST, port=port, ready_timeout=15.0,
        data_size_limit=MOST_BYTES, ident="mail sink of the development stack",
    )  # fmt: skip


def _pages(store: Store, port: int) -> BaseWSGIServer:
    return make_server(
        ports.HOST, port, create_app(store), threaded=True, request_handler=_RequestHandler
    )


class _Handler:
    """What aiosmtpd asks about a mail; the names are its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        raw = envelope.original_content or b""
        mail_id = self._store.add(envelope.mail_from or "", envelope.rcpt_tos, raw)
        log.info("mail sink: kept mail %s", mail_id)
        return f"250 kept as {mail_id}, and sent to nobody"


class _RequestHandler(WSGIRequestHandler):
    @property
    def server_version(self) -> str:  # type: ignore[override]
        return "Mail-sink"

    def version_string(self) -> str:
        return "Mail-sink"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: a page is looked at again and again."""
