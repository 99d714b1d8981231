"""Lists in one variable: separated by commas, or a JSON list if an entry holds a comma itself.

A secret with a comma would otherwise be two shorter ones, each of which opens the door: so every
entry has a least length too.
"""

import json

SECRET_MIN_LENGTH = 16
"""What signs or opens something without a person who types it: 16 letters, 64 bits in hex."""


def split(text: str) -> tuple[str, ...]:
    """Return the entries without the blanks around them; empty ones are left out.

    `a,b` and `["a","b"]` are the same list. Raises `ValueError`.
    """
    if not text.strip().startswith("["):
        return tuple(part for entry in text.split(",") if (part := entry.strip()))
    try:
        entries = json.loads(text)
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError('a list that begins with [ must be JSON, such as ["one","two"]')
    return tuple(part for entry in entries if (part := entry.strip()))


def check_secrets(secrets: tuple[str, ...], *, min_length: int = SECRET_MIN_LENGTH) -> None:
    """Raise `ValueError` for the first secret that is too short."""
    for position, secret in enumerate(secrets, start=1):
        if len(secret) < min_length:
            raise ValueError(
                f"secret {position} has {len(secret)} characters, and {min_length} are the"
                f" least{IF_COMMA}"
            )


IF_COMMA = '; if a secret holds a comma, write the list as JSON, such as ["one","two"]'
