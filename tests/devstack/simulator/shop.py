"""A shop's page for the tests of Checkout: written for Razorpay, with the script's address open.

It is served from an origin of its own, with the strict policy that a shop can have, and remembers
what is posted to its `/callback`.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

PAGE = """<!doctype html>
<html lang="en"><head><title>A shop</title></head>
<body><h1>A shop</h1><button id="pay">Pay</button><a href="/elsewhere">Elsewhere</a>
<script src="{script}"></script><script src="/shop.js"></script></body></html>
"""
SCRIPT = """
window.heard = [];
const options = %s;
const say = (what, value) => window.heard.push([what, value === undefined ? null : value]);
if (options.handler) options.handler = (response) => say('handler', response);
options.modal = Object.assign({ondismiss: (reason) => say('dismiss', reason)}, options.modal);
window.rzp = new Razorpay(options);
window.rzp.on('payment.failed', (response) => say('payment.failed', response.error));
document.getElementById('pay').onclick = (event) => { window.rzp.open(); event.preventDefault(); };
"""


@dataclass
class Shop:
    """The shop, while it is open."""

    url: str
    policy: str
    script: str
    options: dict[str, Any] = field(default_factory=dict)
    """Of Checkout; `handler: true` stands for the page's function."""
    posted: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def selling(script: str) -> Iterator[Shop]:
    """Run a shop whose page loads checkout.js from an address."""
    simulator = script.removesuffix("/v1/checkout.js")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/shop.js":
                self._answer(SCRIPT % json.dumps(shop.options), "text/javascript")
            else:
                self._answer(PAGE.format(script=shop.script), "text/html")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            shop.posted.append(dict(parse_qsl(body)))
            self._answer("<!doctype html><title>Back</title><h1>Back at the shop</h1>", "text/html")

        def _answer(self, text: str, kind: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Security-Policy", shop.policy)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    policy = (
        f"default-src 'none'; script-src 'self' {simulator}; frame-src {simulator};"
        " style-src 'self'; form-action 'self'; base-uri 'none'; img-src 'self'"
    )
    shop = Shop(f"http://127.0.0.1:{server.server_port}", policy, script)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
