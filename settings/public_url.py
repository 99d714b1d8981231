"""The address at which others reach a server of ours, such as API_URL.

It is shown to strangers in the OpenAPI document, and paths are put behind it: so it has no
password, no query and no fragment.
"""

from urllib.parse import urlsplit


def read(url: str) -> str:
    """Return an address without a slash at its end. Raises `ValueError` if it is none."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is no number
        known = None
    if not known or not (url.isascii() and url.isprintable() and " " not in url):
        raise ValueError(
            "must be an address such as https://billing.example or http://10.0.0.7:8001"
        )
    if parts.username is not None or "?" in url or "#" in url:
        raise ValueError("must hold no user, no query and no fragment: it is shown to everybody")
    return url.rstrip("/")
