"""The fields of a dispute and of its resolution: texts with line breaks, bounded plain JSON.

Called by `billing/disputes/opening.py` and `billing/disputes/resolution.py`. No error repeats what
a clinic wrote.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from billing import catalog
from billing.disputes.errors import InvalidDispute
from billing.text import (
    DESCRIPTION_MAX_LENGTH,
    ID_MAX_LENGTH,
    KEY_MAX_LENGTH,
    REF_MAX_LENGTH,
    problem_with,
    problem_with_identity,
)

MAX_EVIDENCE_BYTES = 16 * 1024

# No content hash joins these texts by line feeds, so they may have several lines.
_LINE_BREAKS = re.compile("[\t\n\r]")
_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class DisputeContent:
    """The checked content of a request; `evidence` as JSON text, None if there is none."""

    lead_id: str
    dispute_type: str
    description: str
    evidence: str | None


def dispute_content(
    *,
    lead_id: str,
    account: str,
    dispute_type: str,
    description: str,
    evidence: Any,
    request_key: str,
    actor: str,
) -> DisputeContent:
    """Return the checked content of a request; raises `InvalidDispute` for the field at fault."""
    for field, value, max_length in (
        ("lead_id", lead_id, ID_MAX_LENGTH),
        ("account", account, REF_MAX_LENGTH),
        ("actor", actor, ID_MAX_LENGTH),
    ):
        _raise_for(field, problem_with(value, max_length=max_length))
    _raise_for("request_key", problem_with_identity(request_key, max_length=KEY_MAX_LENGTH))
    types = catalog.get().disputes.types
    if dispute_type not in types:
        raise InvalidDispute("dispute_type", f"must be one of {', '.join(types)}")
    _raise_for("description", _problem_with_prose(description))
    return DisputeContent(lead_id, dispute_type, description, _evidence_json(evidence))


def check_resolution(*, notes: str | None, actor: str) -> None:
    """Raise `InvalidDispute` for notes or an actor that cannot be recorded; None: no notes."""
    _raise_for("actor", problem_with(actor, max_length=ID_MAX_LENGTH))
    if notes is not None:
        _raise_for("notes", _problem_with_prose(notes))


def _problem_with_prose(value: object) -> str | None:
    plain = _LINE_BREAKS.sub(" ", value) if isinstance(value, str) else value
    return problem_with(plain, max_length=DESCRIPTION_MAX_LENGTH)


def _raise_for(field: str, problem: str | None) -> None:
    if problem is not None:
        raise InvalidDispute(field, problem)


def _evidence_json(value: Any) -> str | None:
    if value is None:
        return None
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(written.encode())
    except (TypeError, ValueError, RecursionError):
        # PostgreSQL cannot keep NaN, a lone surrogate, or what is nested too deep to read.
        raise InvalidDispute("evidence", "must be plain JSON") from None
    if size > MAX_EVIDENCE_BYTES:
        raise InvalidDispute("evidence", f"must be at most {MAX_EVIDENCE_BYTES} bytes as JSON")
    if _NUL_IN_JSON.search(written):
        raise InvalidDispute("evidence", "must not hold the character U+0000")
    return written
