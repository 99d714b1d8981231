"""Small files that only their owner may read: made once and kept, or replaced in one step."""

import base64
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path


def kept(path: Path, make: Callable[[], str]) -> str:
    """Return the text of `path`; the first call writes what `make` returns."""
    try:
        if text := path.read_text().strip():
            return text
    except FileNotFoundError:
        pass
    text = make()
    write(path, text + "\n")
    return text


def write(path: Path, text: str) -> None:
    """Replace `path` atomically, mode 0600: a reader sees the old text or the new one."""
    # mkstemp makes the file 0600 whatever the umask.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def random_password() -> str:
    """Return a password that needs no quoting anywhere."""
    return secrets.token_hex(24)


def random_webhook_secret() -> str:
    """Return a Standard Webhooks secret: `whsec_` and the base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
