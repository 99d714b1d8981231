"""A platform that receives notices: `python -m benchmarks.notice_receiver PORT`.

It notes when each came, by `time.monotonic`, which is one clock for all processes of a machine.
`POST /hang/...` is never answered; any other is, at once. `GET /count` says how many came and were
answered, `GET /arrivals` what came: `[[path, lead, when], ...]`, which it then forgets.

It shares the machine with what it measures, so it is lean: one thread, one protocol, no framework.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

HANGS = b"/hang/"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Arrivals:
    noted: list[tuple[str, str, float]] = []  # noqa: RUF012 - the one list of the process
    count = 0


class _Protocol(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: Any = None
        self._read = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end:
            return
        method, path, _ = head.split(b" ", 2)
        if method == b"GET":
            self._read = b""
            self._report(path)
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._read = body[length:]
        if path.startswith(HANGS):
            return
        _Arrivals.count += 1
        lead = json.loads(body[:length])["data"].get("lead_id", "")
        _Arrivals.noted.append((path.decode(), lead, time.monotonic()))
        self._transport.write(_OK)

    def _report(self, path: bytes) -> None:
        if path == b"/arrivals":
            content = json.dumps(_Arrivals.noted)
            _Arrivals.noted, _Arrivals.count = [], 0
        else:
            content = json.dumps(_Arrivals.count)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode() + content.encode())
        self._transport.close()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        _Protocol, "127.0.0.1", port, backlog=512
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
