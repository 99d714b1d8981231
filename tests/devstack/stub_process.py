"""A stand-in for a process of the product: `stub_process.py NAME PORT [how it behaves]`."""

import http.server
import os
import signal
import sys
import time
from typing import NoReturn


class _Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _finish(*_: object) -> NoReturn:
    _say("finishing")
    time.sleep(float(sys.argv[4]) if sys.argv[3:4] == ["slow"] else 0)
    _say("finished")
    sys.exit(0)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    name, port, behaviour = sys.argv[1], int(sys.argv[2]), sys.argv[3] if sys.argv[3:] else ""
    if behaviour == "broken":
        sys.exit(f"{name} cannot start: its reason")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else _finish)
    _say("started")
    is_child = behaviour == "stubborn" and os.fork() == 0
    if port and not is_child:
        http.server.ThreadingHTTPServer(("127.0.0.1", port), _Ok).serve_forever()
    while True:
        time.sleep(60)


main()
