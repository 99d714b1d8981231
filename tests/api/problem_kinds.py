"""The kinds of the problems that the API and its server can answer, as their source names them."""

import re

import settings

_NAMED = re.compile(
    r'(?:kind=|_conflicts\(|_later_at_gateway\()"(?P<kind>[a-z][a-z-]+)"|unknown\("(?P<thing>[a-z]+)"'
)


def declared_kinds() -> set[str]:
    """Return the last part of the type of each problem, such as `not-enough-credit`."""
    source = "".join(
        path.read_text()
        for folder in ("api", "service")
        for path in sorted((settings.PROJECT_DIR / folder).glob("*.py"))
    )
    return {found["kind"] or f"unknown-{found['thing']}" for found in _NAMED.finditer(source)}
