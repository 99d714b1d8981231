"""What the examples' shell finds as `billing` and `curl`: quick, and there on every machine.

Both names are the same few lines, which hand their arguments and streams to one process that has
imported the command already and forks for each call; starting Python anew takes longer than most
commands. `curl` knows the options that the pages use and refuses all others, so that the pages
are checked even if no curl is installed.
"""

import contextlib
import http.client
import json
import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

SHIM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = [os.path.basename(sys.argv[0]), os.getcwd(), *sys.argv[1:]]
    socket.send_fds(server, [json.dumps(call).encode()], [0, 1, 2])
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16) or 1))
"""


def install(folder: Path, address: Path) -> None:
    """Write `billing` and `curl` into a folder, for the PATH of a shell."""
    for name in ("billing", "curl"):
        shim = folder / name
        shim.write_text(SHIM.format(python=sys.executable, address=str(address)))
        shim.chmod(0o755)


def serve(address: str) -> None:
    """Take calls until the process is ended, one child each."""
    from cli.main import main as billing  # noqa: PLC0415 - the environment is read now, not at import

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            caller, _ = server.accept()
            with caller:
                if os.fork() == 0:
                    server.close()
                    os._exit(_answer(caller, {"billing": billing, "curl": curl}))
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)


def _answer(caller: socket.socket, commands: dict[str, object]) -> int:
    text, streams, _, _ = socket.recv_fds(caller, 1 << 20, 3)
    name, folder, *arguments = json.loads(text)
    os.chdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # New ones: those of the server know of its own files.
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number, mode in enumerate("rww")
    )
    sys.argv = [name, *arguments]
    code: object = 0
    try:
        commands[name]()  # type: ignore[operator]
    except SystemExit as exit_:
        code = exit_.code or 0
    sys.stdout.flush()
    sys.stderr.flush()
    caller.sendall(str(code if isinstance(code, int) else 1).encode())
    return 0


def curl() -> None:
    """Send one request as `curl` does, and print the body of the answer."""
    method, body, url = "", None, ""
    headers: dict[str, str] = {}
    words = iter(sys.argv[1:])
    for word in words:
        if word == "-s":
            continue
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(":")
            headers[name] = value.strip()
        elif word == "-d":
            body = next(words)
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif word.startswith("http://"):
            url = word
        else:
            sys.exit(f"curl: the examples' own curl does not know {word}")
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    content = body.encode() if body is not None else None
    connection.request(method or ("GET" if body is None else "POST"), path, content, headers)
    sys.stdout.write(connection.getresponse().read().decode())
    connection.close()


if __name__ == "__main__":
    serve(sys.argv[1])
